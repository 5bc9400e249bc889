"""Activation patching: which place in the model carries what makes the difference between two texts.

A model reads a corrupted text, and one value at one place is set to what it was on the clean text. How much of the
clean answer comes back is the effect of that place (Meng et al. 2022, "Locating and Editing Factual Associations in
GPT", §2.1). It is measured by the difference of two logits, which Zhang & Nanda (2024, "Towards Best Practices of
Activation Patching") found least misleading: 0 is the corrupted run, 1 the clean one; parts can also work against
the answer (below 0) or for more than there was (above 1).

All passes are those of the corrupted text up to the patched value, so that only what comes behind it is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.engines.values import value_shapes
from glassbox.errors import BadInput
from glassbox.insight.branches import LAST, Trunk, grow
from glassbox.insight.interventions import Change, check_changeable
from glassbox.insight.trace import Recording

MOST_AT_ONCE = 2**20  # numbers within a feed-forward network that one pass holds
READ_BY_OTHERS = ("attention_norm.output", "attention.keys", "attention.values")  # than the token where they stand


@dataclass(frozen=True)
class Patching:
    """effects: (names, length), one row for each patched value: 0 nothing, 1 the whole clean answer.
    answer, foil: the ids whose logits are compared, at the last token. clean, corrupted: that difference unpatched.
    """

    names: list[str]
    effects: Tensor
    answer: int
    foil: int
    clean: float
    corrupted: float


@torch.no_grad()
def patch_activations(
    model: Transformer,
    clean: Tensor,
    corrupted: Tensor,
    value: str = "residual",
    *,
    answer: int | None = None,
    foil: int | None = None,
) -> Patching:
    """Patch a value of every layer, one place at a time.

    clean, corrupted: ids of two texts of the same number of tokens, (1, length).
    value:  what is patched, without its block: residual, attention.output, feedforward.output, attention.mixed, ...
    answer: the id that the clean text is answered with; by default the likeliest. foil: that of the corrupted text.

    Raises BadInput for a model that isn't a decoder, for texts of different lengths, for a value that can't be patched,
    and where the two runs' answers don't differ, so that there is nothing to explain.
    """
    names = _check(model, clean, corrupted, value)
    held, length = Recording(names.values()), clean.shape[1]
    both = grow(model, torch.cat((clean, corrupted)), held)
    last = model.logits(model.final_norm(both.streams[-1][:, -1]))  # (2, vocabulary)
    answer = int(last[0].argmax()) if answer is None else answer
    foil = int(last[1].argmax()) if foil is None else foil
    right, wrong = (float(difference) for difference in last[:, answer] - last[:, foil])
    if answer == foil or right == wrong or torch.equal(clean, corrupted):
        raise BadInput(
            "Both texts are answered alike, so there is no difference to explain.",
            "Choose texts that the model continues differently, or name an answer and a foil.",
        )
    trunk = Trunk(model, corrupted, [stream[1:] for stream in both.streams], both.read[:, :, 1:])
    patched = [_patched(trunk, layer, value, held.values[name][:1]) for layer, name in names.items()]
    first_other = int((clean != corrupted).nonzero()[0, 1])  # what stands before it is the same: no patch does anything
    patches = [(row, place) for place in range(first_other, length) for row in range(len(patched))]
    at_once = max(1, MOST_AT_ONCE // (length * model.spec.hidden_width))
    effects = last.new_zeros(len(patched), length)
    for first in range(0, len(patches), at_once):
        some = sorted(patches[first : first + at_once])
        logits = _answers(trunk, patched, some)
        rows, places = zip(*some, strict=True)
        effects[rows, places] = (logits[:, answer] - logits[:, foil] - wrong) / (right - wrong)
    return Patching([*names.values()], effects, answer, foil, right, wrong)


def _check(model: Transformer, clean: Tensor, corrupted: Tensor, value: str) -> dict[int, str]:
    """Layer -> the name of its value, of the layers that have one. Raises BadInput as `patch_activations` does."""
    if model.spec.kind != "decoder":
        raise BadInput(f"Texts are continued by decoders, and this is an {model.spec.kind}.", "Choose a decoder.")
    if clean.shape != corrupted.shape or len(clean) != 1:
        raise BadInput(
            f"The texts have {clean.shape[1]} and {corrupted.shape[1]} tokens, and places can only be compared if "
            "they have the same number.",
            "Change words so that both texts have as many tokens (`glassbox tokenizer inspect` shows them).",
        )
    names = {layer: f"blocks.{layer}.{value}" for layer in range(model.spec.layers)}
    known = value_shapes(model.spec, 1, 1)
    names = {layer: name for layer, name in names.items() if name in known} or {0: names[0]}
    for name in names.values():
        check_changeable(model, name)
    return names


@dataclass(frozen=True)
class _Patched:
    """How passes in which a layer's value is patched leave that of the corrupted text.

    leaves: the block before which they do. clean: what stands in the clean text, (length, width) or (heads, length,
    head_width). name: of the value on their way in which that is written; None where it is what enters the block.
    """

    leaves: int
    clean: Tensor
    name: str | None


def _patched(trunk: Trunk, layer: int, value: str, clean: Tensor) -> _Patched:
    """clean: the value of the clean text, (1, length, width) or (1, heads, length, head_width).

    Most values change nothing in their block but what it hands on at their own place. So one run of the block, with the
    clean value everywhere, tells what that is at each place, and the passes leave behind the block. Those that other
    tokens read change these too, and the passes leave before the block.
    """
    name = f"blocks.{layer}.{value}"
    if value in READ_BY_OTHERS and (value, trunk.model.spec.norm_placement) != ("attention_norm.output", "post"):
        return _Patched(layer, clean[0], name)
    handed_on = clean if value == "residual" else trunk.through(layer, {name: lambda held: held.copy_(clean)})
    return _Patched(layer + 1, handed_on[0], None)


def _answers(trunk: Trunk, patched: Sequence[_Patched], patches: Sequence[tuple[int, int]]) -> Tensor:
    """The last token's logits, (patches, vocabulary), of a pass for each pair (index into patched, place), in order.

    A patch changes nothing at the places before it: all passes begin at the first place that is patched.
    """
    start = min(place for _, place in patches)
    leaving: dict[int, Tensor] = {}
    changes: dict[str, Change] = {}
    left = 0
    for index, chosen in groupby(patches, key=itemgetter(0)):
        one, places = patched[index], torch.tensor([place - start for _, place in chosen])
        rows = torch.arange(len(places))
        stream = trunk.streams[one.leaves][:, start:].repeat(len(places), 1, 1)  # (places, length - start, width)
        if one.name is None:
            _write(one.clean[..., start:, :], rows, places, stream)
        else:
            changes[one.name] = partial(_write, one.clean[..., start:, :], left + rows, places)
        leaving[one.leaves] = stream
        left += len(places)
    return trunk.logits(leaving, changes, start=start, positions=LAST)[:, 0]


def _write(clean: Tensor, rows: Tensor, places: Tensor, value: Tensor) -> None:
    """Each of these rows gets what stands in the clean text at its place: (length, width) or (heads, length, width)."""
    value[rows, ..., places, :] = clean[..., places, :].movedim(-2, 0)
