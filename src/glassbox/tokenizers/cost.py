"""What tokens cost at a price: tokens times the price of a million of them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from glassbox.errors import BadInput
from glassbox.workspace.prices import TokenPrice

MILLION = 1_000_000


@dataclass(frozen=True)
class Cost:
    """Of reading and of writing, in the price's currency; decimal, so that sums of prices are exact."""

    input: Decimal
    output: Decimal
    currency: str

    @property
    def total(self) -> Decimal:
        return self.input + self.output


def token_cost(price: TokenPrice, *, input_tokens: int, output_tokens: int = 0, repeats: int = 1) -> Cost:
    """The cost of so many calls that read and write so many tokens each. Raises BadInput for numbers below zero."""
    if min(input_tokens, output_tokens, repeats) < 0:
        raise BadInput("Tokens and repeats are counted from 0.", "Give numbers that aren't negative.")
    return Cost(
        input=price.input * input_tokens * repeats / MILLION,
        output=price.output * output_tokens * repeats / MILLION,
        currency=price.currency,
    )
