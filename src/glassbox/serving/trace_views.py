"""Each way to look into a model, as numbers for JSON: what `glassbox.insight` finds, named and bounded."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.engines.values import value_shapes
from glassbox.errors import BadInput
from glassbox.generation.text import spelled
from glassbox.insight import (
    PATTERNS,
    Reader,
    attribute_logits,
    detect_heads,
    heads_on_repeated,
    logit_lens,
    masked_tokens,
    next_tokens,
    patch_activations,
    residual_norms,
    trace_tokens,
)
from glassbox.insight.ablation import Kind
from glassbox.insight.head_detection import OnRepeated
from glassbox.insight.predictions import Predictions, check_says_tokens, judge
from glassbox.insight.trace import Recording, matching, run
from glassbox.serving.protocol.trace import (
    AttentionRequest,
    HeadsRequest,
    LikeliestRequest,
    PatchingRequest,
    TraceRequest,
    ValuesRequest,
)
from glassbox.serving.rounding import rounded

MOST_NUMBERS = 1_000_000  # in one answer
MOST_COMPUTED = 100_000_000  # numbers that may be held for one: 400 MB
MASKS = ("[MASK]", "<mask>")

Numbers = dict[str, Any]


@dataclass(frozen=True)
class TraceView:
    """asks: the model of its request. numbers: the answer, apart from the tokens that were read."""

    asks: type[TraceRequest]
    numbers: Callable[[Reader, Tensor, Any], Numbers]

    @property
    def shows(self) -> str:
        """One sentence, from the function's own words."""
        return (self.numbers.__doc__ or "").partition("\n")[0]


def look(reader: Reader, view: TraceView, asked: TraceRequest) -> Numbers:
    """The tokens that were read, and the view's numbers. Raises BadInput for what can't be read or shown."""
    tokens = read_tokens(reader, asked.input)
    return {"tokens": _spelled(reader, tokens[0]), **view.numbers(reader, tokens, asked)}


def read_tokens(reader: Reader, given: str | list[int]) -> Tensor:
    """(1, length). Raises BadInput for what the model can't read."""
    if isinstance(given, str):
        return reader.tokens(given)
    spec = reader.model.spec
    if len(given) > spec.context:
        raise BadInput(f"{len(given):,} ids came, and the model reads at most {spec.context:,}.", "Give fewer.")
    wrong = next((id for id in given if not 0 <= id < spec.vocabulary_size), None)
    if wrong is not None:
        raise BadInput(f"There is no id {wrong}.", f"Give ids from 0 to {spec.vocabulary_size - 1}.")
    return reader.model.batch([given])


def values(reader: Reader, tokens: Tensor, asked: ValuesRequest) -> Numbers:
    """Any value by its name, and the gradient of the loss by it, as it is."""
    if not asked.names and not asked.gradients:
        raise BadInput("Neither names nor gradients were asked for.", "GET /trace lists the names of values.")
    spec = reader.model.spec
    _check_size(reader, tokens, [*matching(spec, asked.names), *matching(spec, asked.gradients)], MOST_NUMBERS)
    seen = trace_tokens(reader.model, tokens, asked.names, gradients=asked.gradients)
    return {
        "values": {name: rounded(value) for name, value in seen.values.items()},
        "gradients": {name: rounded(value) for name, value in seen.gradients.items()},
        "loss": seen.loss,
    }


def predictions(reader: Reader, tokens: Tensor, asked: LikeliestRequest) -> Numbers:
    """What was expected at each place, and what the token that stands there cost."""
    model = reader.model
    _check_computed(tokens.shape[1] * model.spec.vocabulary_size * (1 if model.spec.causal else tokens.shape[1]))
    if model.spec.causal:
        return _said(reader, next_tokens(model, tokens, count=asked.count))
    return _said(reader, masked_tokens(model, tokens, _mask(reader), count=asked.count))


def attention(reader: Reader, tokens: Tensor, asked: AttentionRequest) -> Numbers:
    """Who looks at whom: weights by layer, head, token and token looked at."""
    spec = reader.model.spec
    layers = _chosen(asked.layer, spec.layers, "layer")
    heads = _chosen(asked.head, spec.heads, "head")
    length = tokens.shape[1]
    if len(layers) * len(heads) * length**2 > MOST_NUMBERS:
        raise BadInput(
            f"{len(layers) * len(heads)} heads over {length} tokens are {len(layers) * len(heads) * length**2:,} "
            f"numbers, and at most {MOST_NUMBERS:,} are sent at once.",
            "Ask for one layer and one head, or give a shorter text.",
        )
    names = [f"blocks.{layer}.attention.weights" for layer in layers]
    held = trace_tokens(reader.model, tokens, names).values
    weights = torch.stack([held[name][0, heads.start : heads.stop] for name in names])
    return {"layers": list(layers), "heads": list(heads), "weights": rounded(weights)}


def heads(reader: Reader, tokens: Tensor, asked: HeadsRequest) -> Numbers:
    """What each head does, and what the loss is without it."""
    spec = reader.model.spec
    _check_computed(spec.layers * spec.heads * tokens.shape[1] ** 2 + tokens.shape[1] * spec.vocabulary_size)
    on_repeated = _on_repeated(reader.model, asked.ablation)
    found = detect_heads(reader.model, tokens, on_repeated=on_repeated, kind=asked.ablation)
    scores = {pattern: rounded(table) for pattern, table in found.scores.items()}
    without, without_on_repeated = rounded(found.ablation), rounded(found.on_repeated)
    return {
        "heads": [
            {
                "layer": layer,
                "head": head,
                "found": found.found(layer, head),
                "scores": {pattern: table[layer][head] for pattern, table in scores.items()},
                "loss_without": without[layer][head],
                "loss_without_on_repeated": without_on_repeated[layer][head],
            }
            for layer in range(spec.layers)
            for head in range(spec.heads)
        ]
    }


def lens(reader: Reader, tokens: Tensor, asked: LikeliestRequest) -> Numbers:
    """What each block would say if it were the last one."""
    _check_computed(tokens.shape[1] * reader.model.spec.vocabulary_size)
    rows = logit_lens(reader.model, tokens, count=asked.count)
    return {"rows": [{"name": row.name, **_said(reader, row.said)} for row in rows]}


def stream(reader: Reader, tokens: Tensor, asked: TraceRequest) -> Numbers:
    """How large the residual stream is at each token, and what is added to it: L2 norms."""
    return {"norms": {name: rounded(held[0]) for name, held in residual_norms(reader.model, tokens).items()}}


def operations(reader: Reader, tokens: Tensor, asked: TraceRequest) -> Numbers:
    """Every value in the order in which it is computed: its shape, and how its numbers are spread."""
    _check_size(reader, tokens, value_shapes(reader.model.spec, 1, 1), MOST_COMPUTED)
    held = trace_tokens(reader.model, tokens, ["*"]).values
    return {
        "operations": [{"name": name, "shape": list(value.shape), **_spread(value)} for name, value in held.items()]
    }


def attribution(reader: Reader, tokens: Tensor, asked: TraceRequest) -> Numbers:
    """Which part says how much of the logit of the likeliest token, against the second likeliest."""
    check_says_tokens(reader.model)
    _check_computed(tokens.shape[1] * reader.model.spec.vocabulary_size)
    said = judge(run(reader.model, tokens, Recording(())), tokens, 2, causal=reader.model.spec.causal)
    answers, others = said.likeliest[..., 0], said.likeliest[..., 1]
    found = attribute_logits(reader.model, tokens, answers, others)
    return {
        "answers": _spelled(reader, answers[0]),
        "against": _spelled(reader, others[0]),
        "names": found.names,
        "shares": rounded(found.shares[:, 0]),
        "differences": rounded(found.logits[0]),
    }


def patching(reader: Reader, tokens: Tensor, asked: PatchingRequest) -> Numbers:
    """How much of the answer comes back when one value of the other text's run is exchanged, at each place."""
    spec = reader.model.spec
    for name in ("answer", "foil"):
        id = getattr(asked, name)
        if id is not None and id >= spec.vocabulary_size:
            raise BadInput(f"The {name} is the id {id}.", f"Give one from 0 to {spec.vocabulary_size - 1}.")
    _check_computed(tokens.shape[1] ** 2 * spec.vocabulary_size)
    corrupted = read_tokens(reader, asked.corrupted)
    found = patch_activations(reader.model, tokens, corrupted, asked.value, answer=asked.answer, foil=asked.foil)
    return {
        "corrupted_tokens": _spelled(reader, corrupted[0]),
        "names": found.names,
        "effects": rounded(found.effects),
        "answer": found.answer,
        "foil": found.foil,
        "clean": found.clean,
        "corrupted": found.corrupted,
    }


VIEWS: Mapping[str, TraceView] = {
    "predictions": TraceView(LikeliestRequest, predictions),
    "attention": TraceView(AttentionRequest, attention),
    "heads": TraceView(HeadsRequest, heads),
    "lens": TraceView(LikeliestRequest, lens),
    "stream": TraceView(TraceRequest, stream),
    "operations": TraceView(TraceRequest, operations),
    "attribution": TraceView(TraceRequest, attribution),
    "patching": TraceView(PatchingRequest, patching),
    "values": TraceView(ValuesRequest, values),
}
PATTERN_MEANINGS = {str(pattern): meaning for pattern, meaning in PATTERNS.items()}


@functools.lru_cache(maxsize=2)
def _on_repeated(model: Transformer, kind: Kind) -> OnRepeated:
    """Found at the first request: it takes longer than all the rest, and a served model learns no more."""
    return heads_on_repeated(model, kind=kind)


def _said(reader: Reader, said: Predictions) -> Numbers:
    """A causal model's first token was predicted by nothing: its loss and rank are null."""
    first = [None] * (said.entropy.shape[1] - said.loss.shape[1])
    return {
        "loss": first + rounded(said.loss[0]),
        "rank": first + [rank + 1 for rank in said.rank[0].tolist()],
        "entropy": rounded(said.entropy[0]),
        "likeliest": [_spelled(reader, ids) for ids in said.likeliest[0]],
        "probabilities": rounded(said.probabilities[0]),
    }


def _spelled(reader: Reader, ids: Tensor) -> list[dict[str, Any]]:
    return [{"id": id, "text": spelled(reader.tokenizer, id).decode(errors="replace")} for id in ids.tolist()]


def _spread(value: Tensor) -> Numbers:
    finite = value[value.isfinite()].double()  # scores of what a token must not see are infinite
    if not finite.numel():
        return {"mean": None, "deviation": None, "min": None, "max": None}
    spread = torch.stack((finite.mean(), finite.std(correction=0), finite.min(), finite.max()))
    return dict(zip(("mean", "deviation", "min", "max"), rounded(spread), strict=True))


def _mask(reader: Reader) -> int:
    for spelling in MASKS:
        if spelling in reader.tokenizer.special_tokens:
            return reader.tokenizer.special_tokens[spelling]
    raise BadInput(
        f"An encoder predicts what is masked, and its tokenizer has neither {' nor '.join(MASKS)}.",
        "Choose another view, such as attention or stream.",
    )


def _chosen(wanted: int | None, count: int, what: str) -> range:
    if wanted is None:
        return range(count)
    if wanted >= count:
        raise BadInput(f"There is no {what} {wanted}.", f"Choose one of 0 to {count - 1}.")
    return range(wanted, wanted + 1)


def _check_size(reader: Reader, tokens: Tensor, names: Iterable[str], most: int) -> None:
    shapes = value_shapes(reader.model.spec, 1, tokens.shape[1])
    count = sum(math.prod(shapes[name]) for name in names)
    if count > most:
        raise BadInput(
            f"These values are {count:,} numbers, and at most {most:,} are looked at at once.",
            "Ask for fewer values, or give a shorter text.",
        )


def _check_computed(count: int) -> None:
    if count > MOST_COMPUTED:
        raise BadInput(
            f"This view of so long a text computes {count:,} numbers, and at most {MOST_COMPUTED:,} are held.",
            "Give a shorter text.",
        )
