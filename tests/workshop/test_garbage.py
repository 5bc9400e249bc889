"""What stays isn't looked at by the garbage collector; what comes later is."""

from __future__ import annotations

import gc
import weakref

import pytest

from glassbox.workshop.garbage import making_what_stays


class Thing:
    itself: Thing


def in_a_circle() -> weakref.ref[Thing]:
    """Something that only the collector can take away."""
    thing = Thing()
    thing.itself = thing
    return weakref.ref(thing)


def test_nothing_is_collected_while_it_is_made_nor_afterwards():
    with making_what_stays():
        assert not gc.isenabled()
        made = in_a_circle()
    gc.collect()
    assert made() is not None
    gc.unfreeze()
    gc.collect()
    assert made() is None


def test_the_collector_is_at_work_again_afterwards_also_if_something_went_wrong():
    with pytest.raises(ValueError), making_what_stays():
        raise ValueError
    assert gc.isenabled()
    later = in_a_circle()
    gc.collect()
    assert later() is None
    gc.unfreeze()


def test_one_that_was_not_at_work_stays_so():
    gc.disable()
    try:
        with making_what_stays():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
