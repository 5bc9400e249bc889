"""Activation patching: which place in the model carries what makes the difference between two texts.

A model reads a corrupted text, and one value at one place is set to what it was on the clean text. How much of the
clean answer comes back is the effect of that place (Meng et al. 2022, "Locating and Editing Factual Associations in
GPT", §2.1). It is measured by the difference of two logits, which Zhang & Nanda (2024, "Towards Best Practices of
Activation Patching") found least misleading: 0 is the corrupted run, 1 the clean one; parts can also work against
the answer (below 0) or for more than there was (above 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.cache import Cache
from glassbox.engines.values import value_shapes
from glassbox.errors import BadInput
from glassbox.insight.interventions import Change, check_changeable, run_changed
from glassbox.insight.trace import Recording

MOST_AT_ONCE = 2**20  # numbers within a feed-forward network that one pass holds
LAST = slice(-1, None)  # the token whose logits answer


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
    if model.spec.kind != "decoder":
        raise BadInput(f"Texts are continued by decoders, and this is an {model.spec.kind}.", "Choose a decoder.")
    if clean.shape != corrupted.shape or len(clean) != 1:
        raise BadInput(
            f"The texts have {clean.shape[1]} and {corrupted.shape[1]} tokens, and places can only be compared if "
            "they have the same number.",
            "Change words so that both texts have as many tokens (`glassbox tokenizer inspect` shows them).",
        )
    names = [f"blocks.{layer}.{value}" for layer in range(model.spec.layers)]
    names = [name for name in names if name in value_shapes(model.spec, 1, 1)] or names[:1]
    for name in names:
        check_changeable(model, name)
    held, length = Recording(names), clean.shape[1]
    cache = Cache(model.spec, 2, length, like=model.embedding.tokens)
    x = model.hidden(torch.cat((clean, corrupted)), cache=cache, keep=held)
    last = model.logits(x[:, -1])  # (2, vocabulary)
    answer = int(last[0].argmax()) if answer is None else answer
    foil = int(last[1].argmax()) if foil is None else foil
    right, wrong = (float(difference) for difference in last[:, answer] - last[:, foil])
    if answer == foil or right == wrong:
        raise BadInput(
            "Both texts are answered alike, so there is no difference to explain.",
            "Choose texts that the model continues differently, or name an answer and a foil.",
        )
    patches = [(name, place) for place in range(length) for name in names]
    at_once = max(1, MOST_AT_ONCE // (length * model.spec.hidden_width))
    found: list[Tensor] = []
    for first in range(0, len(patches), at_once):
        logits = _answers(model, corrupted, cache.store[:, :, 1:], held.values, patches[first : first + at_once])
        found.append(logits[:, answer] - logits[:, foil])
    effects = torch.cat(found).view(length, len(names)).T  # (names, length)
    return Patching(names, (effects - wrong) / (right - wrong), answer, foil, right, wrong)


def _answers(
    model: Transformer, tokens: Tensor, read: Tensor, clean: Mapping[str, Tensor], patches: Sequence[tuple[str, int]]
) -> Tensor:
    """The last token's logits, (patches, vocabulary), of a row for each patch.

    A patch changes nothing at the places before it. So what a cache holds of those, `read`, isn't computed again: all
    rows begin at the first place that is patched.
    """
    start = min(place for _, place in patches)
    rows = len(patches)
    cache = Cache.over(read.repeat(1, 1, rows, 1, 1, 1), start, None)
    changes: dict[str, Change] = {}
    for name in dict.fromkeys(name for name, _ in patches):
        chosen = [(row, place - start) for row, (patched, place) in enumerate(patches) if patched == name]
        changes[name] = _patch(clean[name][0, ..., start:, :], chosen)
    return run_changed(model, tokens[:, start:].expand(rows, -1), changes, cache=cache, positions=LAST)[:, 0]


def _patch(clean: Tensor, chosen: Sequence[tuple[int, int]]) -> Change:
    """Rows get what stands in the clean text at a place: clean, (length, width) or (heads, length, width)."""
    rows, places = [row for row, _ in chosen], [place for _, place in chosen]

    def change(value: Tensor) -> None:
        value[rows, ..., places, :] = clean[..., places, :].movedim(-2, 0)

    return change
