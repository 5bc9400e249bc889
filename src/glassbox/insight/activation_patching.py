"""Activation patching: which place in the model carries what makes the difference between two texts.

A model reads a corrupted text, and one value at one place is set to what it was on the clean text. How much of the
clean answer comes back is the effect of that place (Meng et al. 2022, "Locating and Editing Factual Associations in
GPT", §2.1). It is measured by the difference of two logits, which Zhang & Nanda (2024, "Towards Best Practices of
Activation Patching") found least misleading: 0 is the corrupted run, 1 the clean one; parts can also work against
the answer (below 0) or for more than there was (above 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.engines.values import value_shapes
from glassbox.errors import BadInput
from glassbox.insight.interventions import Change, check_changeable, run_changed
from glassbox.insight.trace import Recording, run, trace_tokens


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
    held = trace_tokens(model, clean, names).values
    last_clean, last_corrupted = (run(model, tokens, Recording(()))[0, -1] for tokens in (clean, corrupted))
    answer = int(last_clean.argmax()) if answer is None else answer
    foil = int(last_corrupted.argmax()) if foil is None else foil
    right, wrong = (float(logits[answer] - logits[foil]) for logits in (last_clean, last_corrupted))
    if answer == foil or right == wrong:
        raise BadInput(
            "Both texts are answered alike, so there is no difference to explain.",
            "Choose texts that the model continues differently, or name an answer and a foil.",
        )
    length = clean.shape[1]
    rows = corrupted.expand(length, -1)  # row p gets its patch at place p
    effects = torch.stack(
        [_difference(run_changed(model, rows, {name: _patch(held[name])}), answer, foil) for name in names]
    )
    return Patching(names, (effects - wrong) / (right - wrong), answer, foil, right, wrong)


def _difference(logits: Tensor, answer: int, foil: int) -> Tensor:
    """(length, length, vocabulary) -> (length,)"""
    return logits[:, -1, answer] - logits[:, -1, foil]


def _patch(clean: Tensor) -> Change:
    """clean: (1, length, width), or (1, heads, length, head_width)."""

    def change(value: Tensor) -> None:
        places = torch.arange(value.shape[-2], device=value.device)
        value[places, ..., places, :] = clean[0].movedim(-2, 0)

    return change
