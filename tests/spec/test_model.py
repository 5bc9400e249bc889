"""A description is complete, consistent, and says what to change when it is not."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.spec import Experts, ModelSpec, preset, presets

SMALL = {"vocabulary_size": 65, "context": 64, "width": 128, "layers": 4, "heads": 4}


def test_what_follows_from_other_fields_is_filled_in() -> None:
    spec = ModelSpec.checked(SMALL)
    assert (spec.key_value_heads, spec.head_width, spec.hidden_width) == (4, 32, 512)
    assert ModelSpec.checked({**SMALL, "activation": "swiglu"}).hidden_width == 344


def test_what_was_filled_in_follows_anew_when_its_cause_changes() -> None:
    assert ModelSpec.checked(SMALL).replace(width=256).hidden_width == 1_024
    assert ModelSpec.checked({**SMALL, "hidden_width": 300}).replace(width=256).hidden_width == 300


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 130}, "width 130 is not divisible by 4 heads: set width to 128 or 132"),
        ({"key_value_heads": 3}, "set key_value_heads to one of 1, 2, 4"),
        ({"positions": "rotary", "head_width": 3}, "rotary positions turn pairs"),
        (
            {"positions": "learned", "rotary_scaling": {"kind": "linear", "factor": 2}},
            "rotary_scaling is set, but positions are learned",
        ),
        ({"rotary_scaling": {"kind": "llama3", "factor": 8, "slow_turns": 4}}, "lower rotary_scaling.slow_turns"),
        ({"positions": "learned", "rotary_fraction": 0.5}, "rotary_fraction is set, but positions are learned"),
        ({"positions": "sinusoidal", "width": 15, "heads": 3}, "sinusoidal positions need an even width"),
        ({"positions": "relative", "kind": "encoder", "relative_buckets": 6}, "choose a multiple of 4"),
        ({"positions": "relative", "relative_distance": 16}, "make it larger or relative_buckets smaller"),
        ({"norm": "group", "norm_groups": 3}, "not divisible by 3 norm groups"),
        ({"norm_groups": 4}, "norm_groups is 4, but norm is rms"),
        ({"norm_bias": True}, "norm_bias is on, but a norm of kind rms has none"),
        ({"norm": "layer", "norm_bias": True, "norm_gain": False}, "turn norm_gain on"),
        ({"norm": "none", "embedding_norm": True}, "norm is none"),
        ({"parallel_residual": True, "norm_placement": "post"}, "set it to pre"),
        ({"kind": "encoder-decoder"}, "needs encoder_layers of at least 1"),
        ({"encoder_layers": 2}, "needs encoder_layers of at least 1, other kinds 0"),
        ({"head": "classes", "kind": "encoder"}, "classes belong to head = classes"),
        ({"head": "classes", "classes": 3}, "head = classes needs kind = encoder"),
        ({"parallel_residual": True, "kind": "encoder-decoder", "encoder_layers": 1}, "no place for cross-attention"),
        ({"head": "vectors"}, "it needs kind = encoder"),
        ({"token_types": 2}, "built for encoders, and kind is decoder"),
        ({"output_transform": True, "kind": "encoder", "activation": "swiglu"}, "choose one without"),
        ({"value_embeddings": True, "kind": "encoder"}, "value_embeddings are built for decoders"),
        ({"window": 65}, "window 65 is longer than the context 64"),
        ({"experts": {"count": 4, "active": 5, "hidden_width": 8}}, "lower experts.active"),
        ({"experts": {"count": 4, "active": 2, "hidden_width": 8, "dense_layers": 4}}, "so no layer has experts"),
        ({"layers": 0}, "layers: Input should be greater than or equal to 1 (it is 0)"),
        ({"heads": 0}, "heads: Input should be greater than or equal to 1"),
        ({"width": 10**30}, "width: Input should be less than or equal to"),
        ({"hieght": 3}, "hieght: no such field"),
        ({"activation": "mish"}, "activation: Input should be 'relu'"),
    ],
)
def test_a_combination_that_makes_no_sense_is_refused_with_what_to_change(
    changes: dict[str, object], said: str
) -> None:
    with pytest.raises(BadInput) as refusal:
        ModelSpec.checked({**SMALL, **changes})
    assert said in refusal.value.problem


def test_a_description_cannot_be_changed_in_place() -> None:
    spec = ModelSpec.checked(SMALL)
    with pytest.raises(Exception, match="frozen"):
        spec.width = 3


@pytest.mark.parametrize("name", presets())
def test_saving_and_loading_gives_the_same_description(name: str, tmp_path: Path) -> None:
    preset(name).save(tmp_path / "spec.json")
    assert ModelSpec.load(tmp_path / "spec.json") == preset(name)


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"width": 3}', '{"width": "\\ud800"}', "\x00"])
def test_a_damaged_file_is_refused_by_name(content: str, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(content)
    with pytest.raises(BadInput):
        ModelSpec.load(tmp_path / "spec.json")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nothing\.json"):
        ModelSpec.load(tmp_path / "nothing.json")


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(BadInput, match="gpt2-small"):
        preset("gpt2-smal")


@given(layers=st.integers(1, 30))
def test_value_embeddings_sit_in_every_second_block_and_in_the_last(layers: int) -> None:
    spec = ModelSpec.checked({**SMALL, "layers": layers, "value_embeddings": True})
    where = [layer for layer in range(layers) if spec.has_value_embedding(layer)]
    assert where[-1] == layers - 1
    assert all(b - a == 2 for a, b in itertools.pairwise(where))


def test_the_first_layers_of_a_mixture_may_stay_dense() -> None:
    spec = ModelSpec.checked({**SMALL, "experts": Experts(count=4, active=2, hidden_width=8, dense_layers=1)})
    assert [spec.has_experts(layer) for layer in range(4)] == [False, True, True, True]
