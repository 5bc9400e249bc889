"""Lists in pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.workshop.paging import page

KEYS = st.lists(st.tuples(st.floats(0, 1e10), st.text(max_size=5)), unique=True, max_size=30)


@given(KEYS, st.integers(1, 7))
def test_pages_together_are_the_whole_list_newest_first(keys: list[tuple[float, str]], limit: int):
    cursor, found = None, []
    while True:
        given_page, cursor = page(keys, lambda key: key, cursor, limit)
        assert len(given_page) <= limit
        found += given_page
        if cursor is None:
            break
    assert found == sorted(keys, reverse=True)


@given(KEYS, st.data())
def test_what_comes_and_goes_between_two_pages_changes_nothing_else(keys: list[tuple[float, str]], data: st.DataObject):
    first, cursor = page(keys, lambda key: key, None, 5)
    gone = set(data.draw(st.lists(st.sampled_from(keys)))) if keys else set()
    new = (2e10, "new")
    second, _ = page([key for key in [*keys, new] if key not in gone], lambda key: key, cursor, 100)
    if cursor is not None:
        assert second == [key for key in sorted(keys, reverse=True) if key not in first and key not in gone]


@given(st.text(max_size=60))
def test_no_text_is_a_cursor_by_chance_or_breaks_anything(cursor: str):
    try:
        page([(1.0, "a")], lambda key: key, cursor, 5)
    except BadInput as told:
        assert "cursor" in told.problem


def test_a_cursor_of_deep_json_is_told():
    import base64

    deep = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    with pytest.raises(BadInput):
        page([(1.0, "a")], lambda key: key, deep, 5)
