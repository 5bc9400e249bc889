"""What was asked of served models: by day, key and model, with what that cost; and how much may be asked."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from glassbox.errors import BadInput
from glassbox.workshop.access.guards import CurrentActor, allows
from glassbox.workshop.bodies import Body
from glassbox.workshop.gateway.quotas import EVERYONE, Limits
from glassbox.workshop.gateway.usage import Used, requests, used
from glassbox.workshop.problems import NotFound
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop, Workshop
from glassbox.workspace.prices import Prices, TokenPrice

router = Router(tags=["Usage and limits"])

_EPOCH = date(1970, 1, 1)
_MOST_ROWS = 10_000
_LONGEST = 366  # days at once
_EVERYONE = "everyone"

Day = Annotated[date | None, Query(description="Such as 2026-01-31, in UTC.")]


class Cost(BaseModel):
    """By the workspace's prices.toml, of tokens under the model's public name."""

    currency: str = Field(examples=["EUR"])
    amount: Decimal = Field(examples=["0.0125"])


class UsageRow(BaseModel):
    """What one key (or, without a key, the browser) of a person asked of a model on a day."""

    day: date
    person: str = Field(description="An id.")
    key: str | None = Field(description="A key's id; null for a browser.")
    model: str = Field(description="The public name.")
    requests: int
    failures: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float = Field(description="A request took, on average.")
    first_token_seconds: float | None = Field(description="Until the first part of a stream, on average.")
    cost: Cost | None = Field(description="Null where the model has no price.")


class UsageTotals(BaseModel):
    requests: int
    failures: int
    prompt_tokens: int
    completion_tokens: int
    costs: list[Cost] = Field(description="One for each currency; what has no price isn't in it.")


class UsageReport(BaseModel):
    rows: list[UsageRow] = Field(description="The newest first.")
    totals: UsageTotals = Field(description="Of these rows.")
    more: bool = Field(description=f"Were there more than {_MOST_ROWS:,}? Then ask for fewer days.")
    note: str | None = Field(description="Why there are no costs, where the price table can't be read.")


class RequestFacts(BaseModel):
    number: int
    id: str = Field(description="As in the answer's X-Request-Id, and in the log.")
    time: float
    person: str
    key: str | None
    model: str
    endpoint: str = Field(examples=["chat/completions"])
    status: int = Field(description="499: the client went before the end.")
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    first_token_seconds: float | None


class LimitFacts(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"requests_per_minute": 60, "tokens_per_day": 1_000_000}]}
    )

    requests_per_minute: int | None = Field(None, ge=0, le=1_000_000, description="Null: as many as they like.")
    tokens_per_day: int | None = Field(None, ge=0, le=2_000_000_000, description="Null: as many as they like.")


class PersonLimits(BaseModel):
    person: str
    own: LimitFacts | None = Field(description="What was set for them.")
    limits: LimitFacts = Field(description="What holds for them: their own, or everyone's.")


Person = Annotated[
    str, Path(alias="person_id", max_length=32, description="A person's id, or `everyone`.", examples=["everyone"])
]


@router.get("/api/usage", summary="What was asked of models, by day")
@allows("member")
def get_usage(workshop: CurrentWorkshop, actor: CurrentActor, first: Day = None, last: Day = None) -> UsageReport:
    """Your own; of everyone for owners. By default of the last 30 days. A request stands in it a second after its
    end."""
    until = last or datetime.now(UTC).date()
    since = first or (until - timedelta(days=29) if (until - _EPOCH).days > 29 else _EPOCH)
    if not 0 <= (until - since).days < _LONGEST:
        raise BadInput(
            f"{since} to {until} came, and a report has 1 to {_LONGEST} days.", "Choose the first day before the last."
        )
    whose = None if actor.is_at_least("owner") else actor.id
    rows, more = used(workshop.database, (since - _EPOCH).days, (until - _EPOCH).days, whose, _MOST_ROWS)
    prices, note = _prices(workshop)
    told = [_row(row, prices.get(row.model)) for row in rows]
    return UsageReport(rows=told, totals=_totals(told), more=more, note=note)


@router.get("/api/usage/requests", summary="Single requests to models, the newest first")
@allows("member")
def list_model_requests(
    workshop: CurrentWorkshop,
    actor: CurrentActor,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Only those with a smaller number.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[RequestFacts]:
    """Your own; of everyone for owners. They are kept for 30 days, and what was asked and answered isn't in them."""
    whose = None if actor.is_at_least("owner") else actor.id
    return [
        RequestFacts(
            number=number, id=one.id, time=one.time, person=one.user, key=one.key or None, model=one.model,
            endpoint=one.endpoint, status=one.status, prompt_tokens=one.prompt_tokens,
            completion_tokens=one.completion_tokens, seconds=one.seconds, first_token_seconds=one.first_token_seconds,
        )
        for number, one in requests(workshop.database, whose, before, limit)
    ]  # fmt: skip


@router.get("/api/limits", summary="How much you may ask of models")
@allows("member")
def get_own_limits(workshop: CurrentWorkshop, actor: CurrentActor) -> PersonLimits:
    """Whatever key you use; a key may have limits of its own besides."""
    return _limits(workshop, actor.id)


@router.get("/api/limits/{person_id}", summary="How much a person may ask of models")
@allows("owner")
def get_limits(person: Person, workshop: CurrentWorkshop) -> PersonLimits:
    """Or `everyone`, for all who have none of their own."""
    return _limits(workshop, _checked(workshop, person))


@router.put("/api/limits/{person_id}", summary="Say how much a person may ask of models")
@allows("owner")
def set_limits(person: Person, asked: LimitFacts, workshop: CurrentWorkshop) -> PersonLimits:
    """Or `everyone`. It holds from the next request on."""
    identity = _checked(workshop, person)
    workshop.gateway.quotas.set_limits(identity, Limits(asked.requests_per_minute, asked.tokens_per_day))
    return _limits(workshop, identity)


@router.delete("/api/limits/{person_id}", summary="Let everyone's limits hold for a person again", status_code=204)
@allows("owner")
def delete_limits(person: Person, workshop: CurrentWorkshop) -> None:
    """Or, with `everyone`, let there be no limits for those who have none of their own."""
    workshop.gateway.quotas.set_limits(_checked(workshop, person), None)


def _checked(workshop: Workshop, person: str) -> str:
    if person == _EVERYONE:
        return EVERYONE
    if workshop.users.get(person) is None:
        raise NotFound("person", person)
    return person


def _limits(workshop: Workshop, person: str) -> PersonLimits:
    quotas = workshop.gateway.quotas
    own = quotas.limits_of(person)
    holding = own or quotas.limits_of(EVERYONE) or Limits()
    return PersonLimits(
        person=person or _EVERYONE,
        own=None if own is None else LimitFacts.model_validate(vars(own)),
        limits=LimitFacts.model_validate(vars(holding)),
    )


def _prices(workshop: Workshop) -> tuple[dict[str, TokenPrice], str | None]:
    """What tokens cost, by public name; a table that can't be read takes no report away, and says so."""
    try:
        return dict(Prices.load(workshop.workspace.folder).tokens), None
    except BadInput:
        return {}, "The workspace's prices.toml can't be read; `glassbox tokenizer cost` says what is wrong with it."


def _row(row: Used, price: TokenPrice | None) -> UsageRow:
    cost = None
    if price is not None:
        amount = (row.prompt_tokens * price.input + row.completion_tokens * price.output) / 1_000_000
        cost = Cost(currency=price.currency, amount=amount)
    return UsageRow(
        day=_EPOCH + timedelta(days=row.day),
        person=row.user,
        key=row.key or None,
        model=row.model,
        requests=row.requests,
        failures=row.failures,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        seconds=row.seconds / row.requests,
        first_token_seconds=row.first_token_seconds / row.streamed if row.streamed else None,
        cost=cost,
    )


def _totals(rows: list[UsageRow]) -> UsageTotals:
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        if row.cost is not None:
            amounts[row.cost.currency] += row.cost.amount
    return UsageTotals(
        requests=sum(row.requests for row in rows),
        failures=sum(row.failures for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        costs=[Cost(currency=currency, amount=amount) for currency, amount in sorted(amounts.items())],
    )
