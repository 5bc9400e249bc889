"""Change a value while the model computes, and see what becomes of the rest.

The tensors engine offers each value under its name before it reads it on, so that writing into it, in place, changes
all that follows. That holds for the values that `CHANGEABLE` fits; the others are copies or have been read already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.cache import Cache
from glassbox.engines.values import Keep
from glassbox.errors import BadInput
from glassbox.insight.trace import matching, run

Change = Callable[[Tensor], object]
"""Writes into a value, in place; what it returns isn't read."""

CHANGEABLE = re.compile(
    r"(encoder\.)?(embedding\.(token_vectors|type_vectors|output)|output\.transformed|embedding_norm\.output|final_norm\.output"
    r"|blocks\.\d+\.(residual|\w+_residual|\w+_norm\.output"
    r"|(cross_)?attention\.(queries|keys|values|mixed|output)|feedforward\.(hidden|output)))"
)


@torch.no_grad()
def run_changed(
    model: Transformer,
    tokens: Tensor,
    changes: Mapping[str, Change],
    source: Tensor | None = None,
    *,
    cache: Cache | None = None,
    positions: slice = slice(None),
) -> Tensor:
    """The logits, (batch, length, vocabulary) or (batch, classes), with each named value changed when it is offered.

    cache and positions: as of `trace.run`.

    Raises BadInput for a name that this model has no value of, or whose change would change nothing.
    """
    for name in changes:
        check_changeable(model, name)
    return run(model, tokens, Changing(changes), source, cache=cache, positions=positions)


def check_changeable(model: Transformer, name: str) -> None:
    """Raises BadInput unless writing into the value of this name changes what follows."""
    matching(model.spec, [name])
    if not CHANGEABLE.fullmatch(name):
        raise BadInput(
            f"{name} is shown beside the computation, or has been read when it is shown: changing it changes nothing.",
            "Change queries, keys, values, mixed, hidden, or an output, norm or residual.",
        )


class Changing(Keep):
    """Lets each named value be changed when it is offered."""

    def __init__(self, changes: Mapping[str, Change], prefix: str = "") -> None:
        super().__init__(frozenset(), {}, prefix)
        self._changes = changes

    def __call__(self, name: str, value: Tensor) -> None:
        change = self._changes.get(self._prefix + name)
        if change is not None:
            change(value)

    def under(self, name: str) -> Changing:
        return Changing(self._changes, f"{self._prefix}{name}.")
