"""Any named value of a forward pass, and the gradient of the loss by any of them.

Names are those of `glassbox.engines.values`, `*` standing for anything. Values are taken from the computation itself;
attention's scores and weights, which the fused kernel never holds, are computed openly beside it, and so are their
gradients: with mixed = weights @ values, that of the weights is (gradient of mixed) @ values^T, and that of the scores
follows through the softmax.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
import torch.nn.functional as F
from torch import Tensor

from glassbox.engines.checks import check_targets
from glassbox.engines.interface import IGNORED
from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.cache import Cache
from glassbox.engines.values import Keep, keeping, value_shapes
from glassbox.errors import BadInput
from glassbox.insight.reader import Reader
from glassbox.spec import ModelSpec

PROJECTED = ("projected_queries", "projected_keys")  # offered as views that the model doesn't read on
SEEN = " as seen"  # behind the name of a value in whose place a zero is kept
OPENED = ("scores", "weights")  # computed beside the fused kernel


@dataclass(frozen=True)
class Trace:
    """What was seen of one forward pass.

    tokens:    ids, (batch, length).
    values:    canonical name -> value, in order of computation.
    gradients: canonical name -> gradient of `loss` by that value, of its shape.
    loss:      mean cross-entropy in nats of the targets; None where there was nothing to predict.
    """

    tokens: Tensor
    values: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    loss: float | None


def trace(reader: Reader, text: str, names: Iterable[str] = (), *, gradients: Iterable[str] = ()) -> Trace:
    """Values and gradients of the model that reads a text, the batch being one; see `trace_tokens`.

    Raises BadInput for a text that the model can't read, besides.
    """
    return trace_tokens(reader.model, reader.tokens(text), names, gradients=gradients)


def trace_tokens(
    model: Transformer,
    tokens: Tensor,
    names: Iterable[str] = (),
    *,
    gradients: Iterable[str] = (),
    targets: Tensor | None = None,
    source: Tensor | None = None,
) -> Trace:
    """Values and gradients of one forward pass.

    tokens:    ids, (batch, length).
    names:     values wanted, as names and patterns (`blocks.*.attention.weights`).
    gradients: values by which the gradient of the loss is wanted. Those of the load-balancing loss aren't in it.
    targets:   as of `Transformer.forward`; by default a causal model predicts the next token of each but the last.
    source:    of an encoder-decoder: the ids that its encoder reads, (batch, source_length).

    Raises BadInput for a name that this model has no value of, for gradients without targets, and for gradients of
    what an expert computes inside, which is gathered to be shown and not read on.
    """
    wanted, slopes = matching(model.spec, names), matching(model.spec, gradients)
    check_targets(model.spec, given=targets is not None)
    targets = next_token_targets(model.spec, tokens) if targets is None else targets
    if not slopes:
        with torch.no_grad():
            keep = Recording(wanted)
            loss = _loss(run(model, tokens, keep, source), targets)
        return Trace(tokens, _seen(wanted, keep.values), {}, None if loss is None else loss.item())
    with torch.enable_grad():
        keep = _RecordingWithSlopes([*wanted, *slopes, *_needed(slopes)])
        loss = _loss(run(model, tokens, keep, source), targets)
        if loss is None:
            raise BadInput(
                "A gradient is that of a loss, and nothing is to be predicted here.",
                "Give at least two tokens to a model that predicts the next one, or give targets.",
            )
        found = _gradients(loss, slopes, keep)
    return Trace(tokens, _seen(wanted, keep.values), found, loss.item())


def matching(spec: ModelSpec, patterns: Iterable[str]) -> list[str]:
    """The names of this model's values that fit, in order of computation. Raises BadInput if a pattern fits none."""
    patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    keeping(spec, patterns)
    return [name for name in value_shapes(spec, 1, 1) if any(fnmatchcase(name, pattern) for pattern in patterns)]


def next_token_targets(spec: ModelSpec, tokens: Tensor) -> Tensor | None:
    """The token after each, `IGNORED` after the last, (batch, length); None where no next token is learned."""
    if not spec.causal or tokens.shape[1] < 2:
        return None
    return torch.cat((tokens[:, 1:], torch.full_like(tokens[:, :1], IGNORED)), 1)


def run(
    model: Transformer,
    tokens: Tensor,
    keep: Keep,
    source: Tensor | None = None,
    *,
    cache: Cache | None = None,
    positions: slice = slice(None),
) -> Tensor:
    """A forward pass that offers its values to any collector. Returns the logits as `Transformer.forward` does.

    cache:     what was read before, as of `Transformer.forward`.
    positions: of the tokens, those whose logits are wanted; what comes behind the last norm isn't computed for others.
    """
    x = model.hidden(tokens, source=source, cache=cache, keep=keep)
    logits = model.logits(x[:, 0] if model.spec.head == "classes" else x[:, positions], keep.under("output"))
    keep("logits", logits)
    return logits


class Recording(Keep):
    """Keeps the values of these names."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(frozenset(names), {})


class _RecordingWithSlopes(Keep):
    """Keeps values so that gradients by them can be taken.

    Attention turns and normalises queries and keys where they stand, and offers a view of them from before: adding a
    zero into it, in place, puts that zero on the way to the loss, and the zero's gradient is that of the value.
    """

    def __init__(self, names: Iterable[str], values: dict[str, Tensor] | None = None, prefix: str = "") -> None:
        super().__init__(frozenset(names), {} if values is None else values, prefix)

    def __call__(self, name: str, value: Tensor) -> None:
        if not value.requires_grad:  # the first value of a model whose weights don't learn, such as a quantised one
            value.requires_grad_()
        full = self._prefix + name
        if full not in self._wanted:
            return
        self.values[full] = value
        if name in PROJECTED:
            self.values[full] = torch.zeros_like(value).requires_grad_()
            value.add_(self.values[full])
            self.values[full + SEEN] = value.detach().clone()

    def under(self, name: str) -> _RecordingWithSlopes:
        return _RecordingWithSlopes(self._wanted, self.values, f"{self._prefix}{name}.")


def _loss(logits: Tensor, targets: Tensor | None) -> Tensor | None:
    """(batch, length, vocabulary) or (batch, classes), and targets without the last axis -> a scalar."""
    if targets is None:
        return None
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED)


def _seen(names: Sequence[str], held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values in order of computation, apart from the graph that made them."""
    return {name: held.get(name + SEEN, held[name]).detach() for name in names}


def _needed(slopes: Sequence[str]) -> list[str]:
    """What the gradients of scores and weights are computed from."""
    opened = [name.rpartition(".")[0] for name in slopes if name.endswith(OPENED)]
    return [f"{part}.{name}" for part in dict.fromkeys(opened) for name in ("weights", "values", "mixed")]


def _gradients(loss: Tensor, slopes: Sequence[str], keep: Keep) -> dict[str, Tensor]:
    """Canonical name -> gradient, for values that lie on the way to the loss and for attention's scores and weights."""
    direct = [name for name in slopes if not name.endswith(OPENED)]
    direct += [name for name in _needed(slopes) if name.endswith(".mixed") and name not in direct]
    taken = torch.autograd.grad(loss, [keep.values[name] for name in direct], allow_unused=True)
    found: dict[str, Tensor | None] = dict(zip(direct, taken, strict=True))
    for name in slopes:
        if name.endswith(OPENED):
            found[name] = _through_attention(name, found, keep.values)
    lost = [name for name in slopes if found[name] is None]
    if lost:
        raise BadInput(
            f"The loss isn't computed from {lost[0]} as it is shown: it is gathered beside the computation.",
            "Ask for the gradient by the output of that part.",
        )
    return {name: gradient for name in slopes if (gradient := found[name]) is not None}


def _through_attention(name: str, found: Mapping[str, Tensor | None], held: Mapping[str, Tensor]) -> Tensor | None:
    """The gradient by the scores or the weights of one layer, (batch, heads, length, keys)."""
    part = name.rpartition(".")[0]
    by_mixed = found[f"{part}.mixed"]  # (batch, heads, length, head_width)
    if by_mixed is None:
        return None
    weights, values = held[f"{part}.weights"].detach(), held[f"{part}.values"].detach()
    values = values.repeat_interleave(weights.shape[1] // values.shape[1], 1)  # (batch, heads, keys, head_width)
    by_weights = by_mixed @ values.transpose(2, 3)
    if name.endswith("weights"):
        return by_weights
    return weights * (by_weights - (by_weights * weights).sum(-1, keepdim=True))
