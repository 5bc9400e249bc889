from __future__ import annotations

import torch
from drawn_specs import assert_near, model_of, specs, tokens_of
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox.insight.branches import LAST, grow
from glassbox.insight.interventions import Change, run_changed
from glassbox.spec import ModelSpec

LENGTH = 6


@given(spec=specs(kinds=("decoder",)), batch=st.integers(1, 2))
@settings(max_examples=30, deadline=None)
def test_a_branch_that_changes_nothing_is_the_pass_that_it_leaves(spec: ModelSpec, batch: int):
    model, tokens = model_of(spec), tokens_of(spec, batch, LENGTH)
    trunk = grow(model, tokens)
    leaving = {layer: trunk.streams[layer] for layer in range(spec.layers + 1)}
    found = trunk.logits(leaving, {}).unflatten(0, (-1, batch))  # (branches, batch, length, vocabulary)
    expected = model.forward(tokens)[0].expand_as(found)
    assert_near(found, expected, 1e-9)


@given(spec=specs(kinds=("decoder",)), start=st.integers(0, LENGTH - 1), last_alone=st.booleans(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_branches_are_whole_passes_with_the_same_changes(
    spec: ModelSpec, start: int, last_alone: bool, data: st.DataObject
):
    model, tokens = model_of(spec), tokens_of(spec, 1, LENGTH)
    trunk = grow(model, tokens)
    layers = sorted(data.draw(st.sets(st.integers(0, spec.layers - 1), min_size=1)))
    leaving = {layer: trunk.streams[layer][:, start:].clone() for layer in layers}
    changes = {f"blocks.{layer}.attention.values": doubled(row, 0) for row, layer in enumerate(layers)}
    positions = LAST if last_alone else slice(None)
    found = trunk.logits(leaving, changes, start=start, positions=positions)
    expected = torch.cat(
        [run_changed(model, tokens, {f"blocks.{layer}.attention.values": doubled(0, start)}) for layer in layers]
    )
    assert_near(found, expected[:, start:][:, positions], 1e-9)


def doubled(row: int, start: int) -> Change:
    """Twice what stands in this row, from this token on."""

    def change(value: torch.Tensor) -> None:
        value[row, ..., start:, :] *= 2

    return change
