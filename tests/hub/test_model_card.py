"""Cards of models, as Markdown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from glassbox.hub.model_card import Making, Measurement, ModelCard, Source
from glassbox.spec import count_parameters, preset

DAY = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
BARE = ModelCard(
    reference="tales:1",
    kind="model",
    hash="0" * 64,
    created=DAY,
    bytes=1234,
    facts={},
    spec=None,
    note="",
    making=None,
    sources=(),
    measurements=(),
)


def test_a_model_of_which_nothing_is_known_has_a_short_card():
    assert BARE.markdown() == (
        f"# tales:1\n\nA model of 1,234 bytes, made 2026-01-31 12:30 UTC. SHA-256 of its files: `{'0' * 64}`.\n"
    )


def test_what_is_known_stands_in_its_place_and_what_is_not_is_left_out():
    making = Making(
        run="pretrain-abc",
        stage="pretrain",
        code="0.1.0+abc",
        settings={"steps": 1000, "clip": None, "compile": False, "model": {"layers": 2}},
        result={"loss": 1.23456789},
        attempts=3,
        started=DAY,
        ended=DAY.replace(hour=13),
    )
    card = replace(
        BARE,
        spec=preset("gpt2-small"),
        note="For **Ada**.",
        making=making,
        sources=(Source("corpus", "tales:1", {"documents": 12}), Source("tokenizer", "theirs:2", {})),
        measurements=(Measurement("held-out:1", DAY, {"bits_per_byte": 1.25}),),
    ).markdown()
    assert f"| parameters | {count_parameters(preset('gpt2-small')).total:,} |" in card
    assert "By the run `pretrain-abc` of the stage pretrain, in 3,600 seconds, at attempt 3, with the code" in card
    assert "| steps | 1,000 |" in card and "| compile | no |" in card and "| model.layers | 2 |" in card
    assert "clip" not in card
    assert "| loss | 1.2346 |" in card
    assert "- corpus **tales:1** (documents 12)\n- tokenizer **theirs:2**\n" in card
    assert "## Measured: held-out:1, 2026-01-31" in card
    assert card.index("For **Ada**.") < card.index("## The model")
    without_end = replace(BARE, making=replace(making, ended=None, attempts=1, code=None)).markdown()
    assert "By the run `pretrain-abc` of the stage pretrain, at the first attempt." in without_end


@given(st.text(), st.recursive(st.none() | st.booleans() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_nothing_that_was_recorded_becomes_markup_or_breaks_the_table(name: str, value: object):
    card = replace(BARE, facts={name: value}).markdown()
    assert "<" not in card.replace("\\<", "")
    rows = [line for line in card.split("\n") if line.startswith("|")]
    assert len(rows) == (2 if value is None else 3)
    for row in rows:
        assert row.replace("\\\\", "").replace("\\|", "").count("|") == 3


def test_a_long_value_is_cut_without_leaving_half_an_escape():
    card = replace(BARE, facts={"words": ["|" * 199, "|||"], "text": "x" * 199 + "|||"}).markdown()
    for row in card.split("\n")[-3:-1]:
        assert row.replace("\\|", "").count("|") == 3
