"""Numbers carry as many digits as have meaning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.cli.numbers import age, duration, measured, number, size
from glassbox.cli.plot import round_steps


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1_234_567, "1,234,567"),
        (1.8734567, "1.873"),
        (3e-4, "3.0e-04"),
        (-3e-4, "-3.0e-04"),
        (0.0, "0"),
        (2.0, "2"),
        (112_345.6, "112,346"),
        (1e300, "1e+300"),
        (12_345_678.0, "12,345,678"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (True, "yes"),
        ("words", "words"),
    ],
)
def test_a_number_is_shown_as_a_person_writes_it(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.9, "1.900"), (0.023, "0.02300"), (3e-4, "3.0e-04"), (2.0, "2"), (1234.56, "1235"), (float("nan"), "nan")],
)
def test_a_measured_value_keeps_its_width(value, shown):
    assert measured(value) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345, "12.3 kB"),
        (999_950, "1.0 MB"),
        (5e9, "5.0 GB"),
        (5e15, "5000 TB"),
    ],
)
def test_a_size_has_the_unit_that_fits(count, shown):
    assert size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.44, "0.4 s"), (12.3, "12 s"), (59.9, "1:00 min"), (185, "3:05 min"), (7385, "2:03:05 h")]
)
def test_a_duration_has_the_unit_that_fits(seconds, shown):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("ago", "shown"),
    [({"seconds": 5}, "now"), ({"minutes": 5}, "5 min"), ({"hours": 3}, "3 h"), ({"days": 12}, "12 d")],
)
def test_an_age_has_one_unit(ago, shown):
    assert age(datetime.now(UTC) - timedelta(**ago)) == shown


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_the_axis_has_a_few_whole_steps_from_end_to_end(first, length):
    ticks = round_steps(first, first + length)
    assert ticks[0] == first
    assert ticks[-1] == first + length
    assert ticks == sorted(ticks)
    assert len(ticks) <= 9
