"""A table of all heads: what each does, and whether it matters.

Induction and duplicate are measured on random tokens that are repeated (Olsson et al. 2022): nothing but the
repetition can be learned from them, so that a head that looks at the right place does so because of it. The other
patterns are measured on a text, as the model meets it.

A pattern is called found where its score reaches `FOUND`. For weight on the first token 0.3 is the threshold of Gu et
al. (2024, "When Attention Sink Emerges in Language Models"), and we take it for the weight on any place; what
counts as local, uniform, focused and distributed is our choice. Attention weights show where a head looks, not that
it matters: `ablation` is how much the loss grows without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.errors import BadInput
from glassbox.insight.ablation import Kind, ablation_effects
from glassbox.insight.attention_patterns import PATTERNS, Pattern, attention_scores
from glassbox.insight.trace import trace_tokens
from glassbox.spec import ModelSpec

FOUND: Mapping[Pattern, float] = {
    "previous": 0.3,
    "first": 0.3,
    "self": 0.3,
    "induction": 0.3,
    "duplicate": 0.3,
    "local": 0.5,
    "uniform": 0.8,
    "focused": 0.7,
    "distributed": 0.8,
}
PLACES: tuple[Pattern, ...] = ("previous", "first", "self", "induction", "duplicate")
ON_REPEATED: tuple[Pattern, ...] = ("induction", "duplicate")


@dataclass(frozen=True)
class Heads:
    """scores: pattern -> (layers, heads). ablation: nats that the loss on the text grows without each, (layers, heads);
    on_repeated: the same on the second half of repeated random tokens."""

    scores: Mapping[Pattern, Tensor]
    ablation: Tensor
    on_repeated: Tensor

    def found(self, layer: int, head: int) -> list[Pattern]:
        """The patterns of one head, the strongest first: first the places it looks at, then how it spreads."""

        def score(pattern: Pattern) -> float:
            return float(self.scores[pattern][layer, head])

        reached: list[Pattern] = [pattern for pattern in PATTERNS if score(pattern) >= FOUND[pattern]]
        return sorted(reached, key=lambda pattern: (pattern not in PLACES, -score(pattern)))


@dataclass(frozen=True)
class OnRepeated:
    """What the heads of a model do on repeated random tokens: nothing of it depends on a text, so that a model that
    learns no more needs it once. scores and ablation as in `Heads`, of the patterns `ON_REPEATED`."""

    scores: Mapping[Pattern, Tensor]
    ablation: Tensor


def heads_on_repeated(model: Transformer, repeated: Tensor | None = None, *, kind: Kind = "zero") -> OnRepeated:
    """Score and ablate every head on rows whose second half is their first half again.

    repeated: those rows; by default `repeated_random_tokens`. Raises BadInput for a model that isn't a decoder.
    """
    _check_decoder(model.spec)
    if repeated is None:
        repeated = repeated_random_tokens(model.spec).to(model.embedding.tokens.device)
    scores = _scores(model, repeated)
    second_half = slice(repeated.shape[1] // 2, None)
    effects = ablation_effects(model, repeated, kind, positions=second_half)
    return OnRepeated({pattern: scores[pattern] for pattern in ON_REPEATED}, effects)


def detect_heads(
    model: Transformer, tokens: Tensor, *, on_repeated: OnRepeated | None = None, kind: Kind = "zero"
) -> Heads:
    """Score every head on a text, (batch, length), and on repeated random tokens, and ablate each.

    on_repeated: what `heads_on_repeated` found with the same kind of ablation, for whoever looks at several texts.
    Raises BadInput for a model that isn't a decoder, or a text of fewer than three tokens.
    """
    _check_decoder(model.spec)
    scores = _scores(model, tokens)
    ablation = ablation_effects(model, tokens, kind)
    if on_repeated is None:
        on_repeated = heads_on_repeated(model, kind=kind)
    return Heads({**scores, **on_repeated.scores}, ablation, on_repeated.ablation)


def repeated_random_tokens(spec: ModelSpec, *, rows: int = 4, half: int | None = None, seed: int = 0) -> Tensor:
    """Ids drawn alike from the whole vocabulary and then once more, (rows, 2 * half).

    half: by default 50 tokens (Olsson et al.), or as many as the context has room for.
    Raises BadInput for a context below four tokens.
    """
    half = min(50, spec.context // 2) if half is None else half
    if half < 2 or 2 * half > spec.context:
        raise BadInput(
            f"{2 * half} tokens were to be repeated within a context of {spec.context}.",
            "Choose a model with a longer context, or a half of 2 to half of the context.",
        )
    drawn = torch.randint(spec.vocabulary_size, (rows, half), generator=torch.Generator().manual_seed(seed))
    return torch.cat((drawn, drawn), 1)


def _check_decoder(spec: ModelSpec) -> None:
    if spec.kind != "decoder":
        raise BadInput(f"Heads are told apart in decoders, and this is an {spec.kind}.", "Trace its weights instead.")


def _scores(model: Transformer, tokens: Tensor) -> dict[Pattern, Tensor]:
    """Pattern -> (layers, heads)."""
    weights = trace_tokens(model, tokens, ["blocks.*.attention.weights"]).values
    by_layer = [
        attention_scores(weights[f"blocks.{layer}.attention.weights"], tokens) for layer in range(model.spec.layers)
    ]
    return {pattern: torch.stack([scores[pattern] for scores in by_layer]) for pattern in PATTERNS}
