from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.tokenizers.cost import token_cost
from glassbox.workspace.prices import TokenPrice

PRICE = TokenPrice(
    currency="EUR", input=Decimal("0.10"), output=Decimal("0.70"), date=date(2026, 1, 1), source="a bill"
)


def test_a_million_tokens_cost_their_price():
    cost = token_cost(PRICE, input_tokens=1_000_000, output_tokens=1_000_000)
    assert (cost.input, cost.output, cost.total) == (Decimal("0.10"), Decimal("0.70"), Decimal("0.80"))
    assert cost.currency == "EUR"


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 1_000))
def test_many_calls_cost_as_much_as_one_after_another(read: int, written: int, repeats: int):
    once = token_cost(PRICE, input_tokens=read, output_tokens=written)
    assert token_cost(PRICE, input_tokens=read, output_tokens=written, repeats=repeats).total == repeats * once.total


def test_numbers_below_zero_are_refused():
    with pytest.raises(BadInput, match="counted from 0"):
        token_cost(PRICE, input_tokens=-1)
