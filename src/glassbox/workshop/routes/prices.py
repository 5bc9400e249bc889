"""The price table: what tokens and machines cost, as an owner entered it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from glassbox.workshop.access.guards import allows
from glassbox.workshop.bodies import Body, Line
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop
from glassbox.workspace.prices import PRICES_FILE, MachinePrice, Prices, TokenPrice

router = Router(tags=["Prices"])

Name = Annotated[Line, Field(min_length=1, max_length=200)]


class PriceTable(Body):
    """By name. It is empty until an owner fills it: prices change, and a wrong one looks like a right one."""

    tokens: dict[Name, TokenPrice] = Field(
        default_factory=dict[str, TokenPrice],
        max_length=1000,
        description="Of a million tokens.",
        examples=[
            {
                "a model": {
                    "currency": "EUR",
                    "input": "0.10",
                    "output": "0.40",
                    "date": "2026-01-31",
                    "source": "https://example.org/prices",
                }
            }
        ],
    )
    machines: dict[Name, MachinePrice] = Field(
        default_factory=dict[str, MachinePrice], max_length=1000, description="Of an hour."
    )


@router.get("/api/prices", summary="The price table")
@allows("member")
def get_prices(workshop: CurrentWorkshop) -> PriceTable:
    """Who entered a price says when they looked, and where it stands."""
    prices = Prices.load(workshop.workspace.folder)
    return PriceTable(tokens=dict(prices.tokens), machines=dict(prices.machines))


@router.put("/api/prices", summary="Replace the price table")
@allows("owner")
def replace_prices(table: PriceTable, workshop: CurrentWorkshop) -> PriceTable:
    """The whole of it, in the workspace's prices.toml; remarks that somebody wrote there by hand are lost."""
    Prices(workshop.workspace.folder / PRICES_FILE, table.tokens, table.machines).save()
    return table
