from __future__ import annotations

import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.workspace.prices import PRICES_FILE, TEMPLATE, MachinePrice, Prices, TokenPrice

TABLE = """
[tokens."some model"]
currency = "EUR"
input = 0.1
output = "0.40"
date = 2026-01-31
source = "https://example.org/prices"

[machines.desk]
currency = "EUR"
hour = 0.25
flops = 2e11
date = 2026-01-31
source = "the electricity bill"
"""


def test_the_table_begins_empty_and_explains_itself(tmp_path: Path):
    prices = Prices.load(tmp_path)
    assert (prices.tokens, prices.machines) == ({}, {})
    assert (tmp_path / PRICES_FILE).read_text() == TEMPLATE
    with pytest.raises(BadInput, match="none yet") as told:
        prices.of_tokens("gpt")
    assert str(prices.file) in told.value.remedy


def test_the_lines_of_the_template_are_entries_once_their_marks_are_off(tmp_path: Path):
    lines = [line.removeprefix("#").strip() for line in TEMPLATE.splitlines()[2:]]
    (tmp_path / PRICES_FILE).write_text("\n".join(lines).replace("flops = 0 ", "flops = 1e12 "))
    prices = Prices.load(tmp_path)
    assert list(prices.tokens) == ["name of the model"]
    assert list(prices.machines) == ["name of the machine"]


def test_prices_are_read_exactly(tmp_path: Path):
    (tmp_path / PRICES_FILE).write_text(TABLE)
    prices = Prices.load(tmp_path)
    assert prices.of_tokens("some model").input == Decimal("0.1")
    assert prices.of_tokens("some model").output == Decimal("0.40")
    assert prices.of_machine("desk").hour == Decimal("0.25")
    assert prices.of_machine("desk").flops == 2e11
    with pytest.raises(BadInput, match="it has some model"):
        prices.of_tokens("another")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "isn't TOML"),
        (b"[tokens", "isn't TOML"),
        (TABLE.replace("0.1", "-0.1").encode(), r"some model\.input"),
        (TABLE.replace("hour", "hours").encode(), r"desk\.hour"),
        (TABLE.replace("0.25", "nan").encode(), r"desk\.hour"),
        (TABLE.replace('currency = "EUR"', "").encode(), "currency"),
        (b"tokens = 3", "tokens"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes, said: str):
    (tmp_path / PRICES_FILE).write_bytes(content)
    with pytest.raises(BadInput, match=said):
        Prices.load(tmp_path)
    assert (tmp_path / PRICES_FILE).read_bytes() == content


def test_the_template_is_toml():
    assert tomllib.loads(TEMPLATE) == {}


NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
AMOUNTS = st.decimals(0, 10**9, places=6, allow_nan=False, allow_infinity=False)


@given(st.dictionaries(NAMES, AMOUNTS, max_size=4), NAMES, st.floats(1e-3, 1e22))
def test_what_is_saved_is_read_again_to_the_last_digit(amounts: dict[str, Decimal], words: str, flops: float):
    common = {"currency": "EUR", "date": date(2026, 1, 31), "source": words}
    with TemporaryDirectory() as folder:
        saved = Prices(
            Path(folder) / PRICES_FILE,
            {name: TokenPrice(input=amount, output=amount, **common) for name, amount in amounts.items()},
            {name: MachinePrice(hour=amount, flops=flops, **common) for name, amount in amounts.items()},
        )
        saved.save()
        assert Prices.load(Path(folder)) == saved
        assert (Path(folder) / PRICES_FILE).read_text().startswith(TEMPLATE)
