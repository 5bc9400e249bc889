"""What `glassbox trace` shows: each view as figures, and as numbers for a script."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from glassbox.errors import BadInput
from glassbox.insight import (
    PATTERNS,
    Reader,
    attribute_logits,
    detect_heads,
    logit_lens,
    masked_tokens,
    next_tokens,
    patch_activations,
    residual_norms,
    trace,
)
from glassbox.insight.ablation import Kind
from glassbox.pictures import Arcs, Bars, Figure, Heatmap, Listing, Mosaic, Tokens, visible
from glassbox.pictures.colours import Part
from glassbox.pictures.figure import number as short

MASKS = ("[MASK]", "<mask>")
ATTRIBUTED = 16  # parts with the largest shares that are drawn


@dataclass(frozen=True)
class Wishes:
    """What a person asked for besides the text: which layer and head, a second text, which value is patched
    and whose logits are compared."""

    layer: int | None = None
    head: int | None = None
    corrupted: str | None = None
    value: str = "residual"
    answer: str | None = None
    foil: str | None = None
    ablation: Kind = "zero"


@dataclass(frozen=True)
class View:
    """figures: to be looked at. numbers: the same for JSON."""

    figures: list[Figure]
    numbers: Any


def predictions(reader: Reader, text: str, wishes: Wishes) -> View:
    """Each token shaded by what it cost, and a line for what was expected after each."""
    tokens = reader.tokens(text)
    causal = reader.model.spec.causal
    said = next_tokens(reader.model, tokens) if causal else masked_tokens(reader.model, tokens, _mask(reader))
    pieces = _spelled(reader, tokens)
    losses = [*([math.nan] if causal else []), *said.loss[0].tolist()]  # nothing predicts a causal model's first token
    special = [id in reader.tokenizer.special_tokens.values() for id in tokens[0].tolist()]
    worst = max((loss for loss in losses if math.isfinite(loss)), default=1.0)
    strip = Tokens("loss of each token in nats", pieces, values=losses, part="loss", scale=worst, special=special)
    places = [*([None] if causal else []), *(rank + 1 for rank in said.rank[0].tolist())]
    rows = [
        [
            visible(piece),
            str(id),
            f"{loss:.3f}" if math.isfinite(loss) else "",
            str(rank or ""),
            f"{entropy:.2f}",
            _likeliest(reader, likeliest, probabilities),
        ]
        for piece, id, loss, rank, entropy, likeliest, probabilities in zip(
            pieces,
            tokens[0].tolist(),
            losses,
            places,
            said.entropy[0].tolist(),
            said.likeliest[0].tolist(),
            said.probabilities[0].tolist(),
            strict=True,
        )
    ]
    where = "after it" if causal else "there, masked"
    columns = ("token", "id", "loss", "rank", f"entropy {where}", f"expected {where}")
    listing = Listing(
        "loss in nats, rank among what was expected, entropy in bits", columns, rows, {"id", "loss", "rank", columns[4]}
    )
    numbers = {
        "loss": losses,
        "rank": places,
        "entropy": said.entropy[0].tolist(),
        "likeliest": [
            [
                {"id": id, "text": reader.tokenizer.decode([id]), "probability": probability}
                for id, probability in zip(ids, probabilities, strict=True)
            ]
            for ids, probabilities in zip(said.likeliest[0].tolist(), said.probabilities[0].tolist(), strict=True)
        ],
    }
    return View([strip, listing], numbers)


def attention(reader: Reader, text: str, wishes: Wishes) -> View:
    """Who looks at whom: all heads at a glance, or a heatmap with its numbers for each head of a layer."""
    layers = _chosen(wishes.layer, reader.model.spec.layers, "layer")
    heads = _chosen(wishes.head, reader.model.spec.heads, "head")
    names = [f"blocks.{layer}.attention.weights" for layer in layers]
    seen = trace(reader, text, names)
    labels = _labels(reader, seen.tokens)
    tiles = [
        [_without_future(seen.values[name][0, head], causal=reader.model.spec.causal) for head in heads]
        for name in names
    ]
    figures: list[Figure] = [
        Heatmap(f"attention of layer {layer}, head {head}", tile, labels, labels, "attention")
        for layer, row in zip(layers, tiles, strict=True)
        for head, tile in zip(heads, row, strict=True)
    ]
    if wishes.layer is None and wishes.head is None:
        titles = [[f"{layer}.{head}" for head in heads] for layer in layers]
        title = "attention of every head by layer.head"
        figures = [Mosaic(title, tiles, titles, "attention")]
    if wishes.layer is not None and wishes.head is not None:
        title = f"where each token looks in layer {wishes.layer}, head {wishes.head}"
        figures.append(Arcs(title, labels, tiles[0][0], "attention"))
    return View(figures, {name: seen.values[name][0, list(heads)].tolist() for name in names})


def heads(reader: Reader, text: str, wishes: Wishes) -> View:
    """A line for each head: which patterns it has, and what the loss is without it."""
    tokens = reader.tokens(text)
    found = detect_heads(reader.model, tokens, kind=wishes.ablation)
    columns = ["head", "found", *PATTERNS, "loss without", "on repeated"]
    rows: list[list[str]] = []
    numbers: list[dict[str, Any]] = []
    for layer in range(reader.model.spec.layers):
        for head in range(reader.model.spec.heads):
            scores = {pattern: float(held[layer, head]) for pattern, held in found.scores.items()}
            lost, repeated = float(found.ablation[layer, head]), float(found.on_repeated[layer, head])
            names = found.found(layer, head)
            shown = ["–" if math.isnan(score) else f"{score:.2f}" for score in scores.values()]
            rows.append([f"{layer}.{head}", " ".join(names) or "–", *shown, f"{lost:+.3f}", f"{repeated:+.3f}"])
            numbers.append(
                {"layer": layer, "head": head, "found": names, "scores": scores,
                 "loss_without": lost, "loss_without_on_repeated": repeated}
            )  # fmt: skip
    title = (
        f"heads by layer.head: scores from 0 to 1, and nats that the loss grows when the head says "
        f"{'nothing' if wishes.ablation == 'zero' else 'what it says on average'}"
    )
    names = [f"layer {layer}" for layer in range(reader.model.spec.layers)]
    numbered = [f"{head}" for head in range(reader.model.spec.heads)]
    effects = Heatmap(
        "nats that the loss on the text grows without each head", found.ablation.tolist(), names, numbered
    )
    return View([Listing(title, columns, rows, set(columns[2:])), effects], numbers)


def lens(reader: Reader, text: str, wishes: Wishes) -> View:
    """What each block would say if it were the last one: the word, and its probability as colour."""
    tokens = reader.tokens(text)
    rows = logit_lens(reader.model, tokens)
    labels = _labels(reader, tokens)
    names = [row.name for row in rows]
    sure = Heatmap(
        "logit lens: probability of the likeliest next token after each block",
        [row.said.probabilities[0, :, 0].tolist() for row in rows], names, labels, "output",
    )  # fmt: skip
    words = Listing(
        "logit lens: the likeliest next token after each block",
        ["after", *names],
        [
            [label, *(visible(reader.tokenizer.token_bytes(int(row.said.likeliest[0, place, 0]))) for row in rows)]
            for place, label in enumerate(labels)
        ],
    )
    numbers = {
        row.name: {
            "likeliest": row.said.likeliest[0].tolist(),
            "probabilities": row.said.probabilities[0].tolist(),
            "loss": row.said.loss[0].tolist(),
            "entropy": row.said.entropy[0].tolist(),
        }
        for row in rows
    }
    return View([sure, words], numbers)


def stream(reader: Reader, text: str, wishes: Wishes) -> View:
    """How large the residual stream and what joins it are at each token."""
    tokens = reader.tokens(text)
    norms = residual_norms(reader.model, tokens)
    values = [held[0].tolist() for held in norms.values()]
    largest = max(map(max, values))
    labels = _labels(reader, tokens)
    figure = Heatmap("L2 norm of the stream and of what is added to it", values, list(norms), labels, "stream", largest)
    return View([figure], {name: held[0].tolist() for name, held in norms.items()})


def attribution(reader: Reader, text: str, wishes: Wishes) -> View:
    """Which part says how much of the logit of the likeliest next token, against the second likeliest."""
    tokens = reader.tokens(text)
    said = logit_lens(reader.model, tokens, count=2)[-1].said
    answers, others = said.likeliest[..., 0], said.likeliest[..., 1]
    found = attribute_logits(reader.model, tokens, answers, others)
    last = found.shares[:, 0, -1]
    where = "after" if reader.model.spec.causal else "at"
    largest = last.abs().argsort(descending=True)[:ATTRIBUTED].tolist()
    answer, other = (visible(reader.tokenizer.token_bytes(int(ids[0, -1]))) for ids in (answers, others))
    bars = Bars(
        f"what each part adds to the logit of {answer} against {other} {where} the last token "
        f"({len(largest)} of {len(found.names)} parts; together {float(found.logits[0, -1]):.3g})",
        [found.names[place] for place in largest],
        [float(last[place]) for place in largest],
    )
    heat = Heatmap(
        "the same at every token: the likeliest against the second likeliest",
        found.shares[:, 0].tolist(), found.names, _labels(reader, tokens),
    )  # fmt: skip
    numbers = {
        "answers": answers[0].tolist(),
        "against": others[0].tolist(),
        "shares": dict(zip(found.names, found.shares[:, 0].tolist(), strict=True)),
    }
    return View([bars, heat], numbers)


def patching(reader: Reader, text: str, wishes: Wishes) -> View:
    """How much of the clean answer comes back when one value of the corrupted run is exchanged."""
    if wishes.corrupted is None:
        raise BadInput(
            "Patching compares two texts, and one came.", "Give the other, of as many tokens, with --corrupted."
        )
    clean, corrupted = reader.tokens(text), reader.tokens(wishes.corrupted)
    named = {name: _one_id(reader, getattr(wishes, name), name) for name in ("answer", "foil")}
    found = patch_activations(reader.model, clean, corrupted, wishes.value, **named)
    answer, foil = (visible(reader.tokenizer.token_bytes(id)) for id in (found.answer, found.foil))
    figure = Heatmap(
        f"share of the answer {answer} (against {foil}) that comes back when {wishes.value} is exchanged",
        found.effects.tolist(), found.names, _labels(reader, corrupted), limit=1.0,
    )  # fmt: skip
    numbers = {
        "names": found.names,
        "effects": found.effects.tolist(),
        "answer": found.answer,
        "foil": found.foil,
        "clean": found.clean,
        "corrupted": found.corrupted,
    }
    return View([figure], numbers)


def operations(reader: Reader, text: str, wishes: Wishes) -> View:
    """Every value in the order in which it is computed, in a line: its shape, and how its numbers are spread."""
    seen = trace(reader, text, ["*"])
    rows: list[list[str]] = []
    numbers: dict[str, Any] = {}
    for name, value in seen.values.items():
        finites = value[value.isfinite()].double()  # scores of what a token must not see are infinite
        mean, deviation = float(finites.mean()), float(finites.std(correction=0))
        least, most = float(finites.min()), float(finites.max())
        rows.append([name, " x ".join(map(str, value.shape)), *map(short, (mean, deviation, least, most))])
        numbers[name] = {"shape": list(value.shape), "mean": mean, "deviation": deviation, "min": least, "max": most}
    columns = ("value, in order of computation", "shape", "mean", "deviation", "least", "most")
    return View([Listing(f"{len(rows)} values of one forward pass", columns, rows, set(columns[2:]))], numbers)


VIEWS: Mapping[str, Callable[[Reader, str, Wishes], View]] = {
    "predictions": predictions,
    "attention": attention,
    "heads": heads,
    "lens": lens,
    "stream": stream,
    "operations": operations,
    "attribution": attribution,
    "patching": patching,
}


def values(reader: Reader, text: str, names: list[str], gradients: list[str]) -> View:
    """Any named value, and any gradient, as it is."""
    seen = trace(reader, text, names, gradients=gradients)
    labels = _labels(reader, seen.tokens)
    figures: list[Figure] = []
    for kind, held in (("", seen.values), ("gradient of the loss by ", seen.gradients)):
        for name, value in held.items():
            figures += _value_figures(f"{kind}{name}", name, value, labels)
    numbers = {
        "values": {name: value.tolist() for name, value in seen.values.items()},
        "gradients": {name: value.tolist() for name, value in seen.gradients.items()},
        "loss": seen.loss,
    }
    return View(figures, numbers)


def _value_figures(title: str, name: str, value: Tensor, labels: list[str]) -> list[Figure]:
    """One heatmap, or one for each head. A value is (1, length, …), (1, heads, …, …) or (length, width)."""
    shape = " x ".join(map(str, value.shape))
    finites = value[value.isfinite()]
    facts = f"{title}  ({shape}; mean {float(finites.mean()):.3g}, deviation {float(finites.std(correction=0)):.3g})"
    planes = value[0] if value.ndim > 2 else value
    parted = "experts." in name and planes.ndim == 3  # (length, active, hidden_width)
    planes = planes.transpose(0, 1) if parted else planes
    named = [(facts, planes)] if planes.ndim == 2 else [
        (f"{facts}, {'expert' if parted else 'head'} {place}", plane) for place, plane in enumerate(planes)
    ]  # fmt: skip
    part: Part | None = "attention" if title.endswith("attention.weights") and title == name else None
    return [Heatmap(caption, plane.tolist(), *_axes(plane, labels), part) for caption, plane in named]


def _axes(plane: Tensor, labels: list[str]) -> tuple[list[str], list[str]]:
    """Tokens down, and tokens or channels across."""
    rows, columns = plane.shape
    down = labels if rows == len(labels) else [str(place) for place in range(rows)]
    return down, labels if columns == len(labels) else [str(place) for place in range(columns)]


def _mask(reader: Reader) -> int:
    """The id that an encoder's text is masked with."""
    for spelling in MASKS:
        if spelling in reader.tokenizer.special_tokens:
            return reader.tokenizer.special_tokens[spelling]
    raise BadInput(
        f"An encoder predicts what is masked, and its tokenizer has neither {' nor '.join(MASKS)}.",
        "Choose another view, such as attention or stream.",
    )


def _one_id(reader: Reader, text: str | None, what: str) -> int | None:
    """The id of a text that is one token. Raises BadInput for any other."""
    if text is None:
        return None
    ids = reader.tokenizer.encode(text)
    if len(ids) != 1:
        raise BadInput(
            f"The {what} {text!r} is {len(ids)} tokens, and one is compared with one.",
            "Give a single token; `glassbox tokenizer inspect` shows them.",
        )
    return ids[0]


def _without_future(weights: Tensor, *, causal: bool) -> list[list[float]]:
    """Rows of weights; NaN where a token must not look, so that nothing is drawn there."""
    rows = weights.tolist()
    if causal:
        return [[*row[: place + 1], *[math.nan] * (len(row) - place - 1)] for place, row in enumerate(rows)]
    return rows


def _chosen(wanted: int | None, count: int, what: str) -> range:
    if wanted is None:
        return range(count)
    if not 0 <= wanted < count:
        raise BadInput(f"There is no {what} {wanted}.", f"Choose one of 0 to {count - 1}.")
    return range(wanted, wanted + 1)


def _spelled(reader: Reader, tokens: Tensor) -> list[bytes]:
    return [reader.tokenizer.token_bytes(id) for id in tokens[0].tolist()]


def _labels(reader: Reader, tokens: Tensor) -> list[str]:
    return [visible(piece) for piece in _spelled(reader, tokens)]


def _likeliest(reader: Reader, ids: list[int], probabilities: list[float]) -> str:
    """`the 12%  a 4%`"""
    spelled = (visible(reader.tokenizer.token_bytes(id)) for id in ids[:3])
    return "  ".join(f"{piece} {share:.0%}" for piece, share in zip(spelled, probabilities, strict=False))
