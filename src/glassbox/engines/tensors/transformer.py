"""The transformer in PyTorch: embedding, blocks, output; and its weights by their canonical names.

Notable: query, key and value (and gate and up) are one parameter each, so that they are one matrix product, while
`weights()` and `gradients()` show them apart, as views; attention is PyTorch's fused kernel, and scores and weights
exist only in a call that asks for them; positions and masks are computed once, not per step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from glassbox.engines import interface
from glassbox.engines.checks import check_source, check_source_rows, check_targets, check_types, check_weights
from glassbox.engines.initialization import initial_weights
from glassbox.engines.interface import IGNORED, Details
from glassbox.engines.tensors.cache import Cache
from glassbox.engines.tensors.embedding import Embedding, Output
from glassbox.engines.tensors.source import Source
from glassbox.engines.tensors.stack import Stack
from glassbox.engines.values import NOTHING, Keep, keeping
from glassbox.spec import ModelSpec, weight_shapes

# The last part of a parameter's name -> the canonical weights that its rows are, in order.
FUSED = {
    "query_key_value": ("query", "key", "value"),
    "query_key_value_bias": ("query_bias", "key_bias", "value_bias"),
    "key_value": ("key", "value"),
    "key_value_bias": ("key_bias", "value_bias"),
    "gate_up": ("gate", "up"),
    "gate_up_bias": ("gate_bias", "up_bias"),
}


class Transformer(Stack, interface.Transformer):
    """A model of any spec: a stack of blocks and an output, and in an encoder-decoder a second stack beside the first.

    seed or weights: where the weights come from: drawn by `initial_weights`, or given by canonical name.
    dropout:         share of attention weights, of the embedding and of what each part adds that training drops
                     (Srivastava 2014). Masks come from PyTorch's generator, which the training loop seeds each step.
    checkpointing:   compute each block again in the backward pass instead of holding its values (Chen et al. 2016).

    Raises BadInput for a spec that this engine doesn't build yet.
    """

    def __init__(
        self,
        spec: ModelSpec,
        seed: int = 0,
        *,
        weights: Mapping[str, Any] | None = None,
        dropout: float = 0.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(spec, Embedding(spec), dropout=dropout, checkpointing=checkpointing)
        self.encoder = None
        if spec.kind == "encoder-decoder":
            embedding = Embedding(spec.encoder, self.embedding.tokens)
            self.encoder = Stack(spec.encoder, embedding, dropout=dropout, checkpointing=checkpointing)
        self.output = Output(spec)
        self.load_weights(initial_weights(spec, seed) if weights is None else weights)

    def forward(
        self,
        tokens: Tensor,
        targets: Tensor | None = None,
        *,
        keep: Iterable[str] = (),
        types: Tensor | None = None,
        present: Tensor | None = None,
        source: Tensor | None = None,
        source_present: Tensor | None = None,
        cache: Cache | None = None,
    ) -> tuple[Tensor, Details]:
        """See `interface.Transformer.forward`; here besides:

        present: (batch, length), True or 1 for a real token, False or 0 for padding that nobody may look at.
        cache:   what was read before; `tokens` continue it and are added to it. It holds the source too, which is given
                 with the first tokens only.
        """
        check_targets(self.spec, given=targets is not None)
        check_types(self.spec, given=types is not None)
        collect = keeping(self.spec, keep)
        balances: list[Tensor] | None = None if targets is None or self.spec.experts is None else []
        x = self.hidden(
            tokens,
            types=types,
            present=present,
            source=source,
            source_present=source_present,
            cache=cache,
            keep=collect,
            balances=balances,
        )
        # A classifier reads its first token.
        logits = self.logits(x[:, 0] if self.spec.head == "classes" else x, collect.under("output"))
        collect("logits", logits)
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED)
        return logits, Details(loss, collect.values, torch.stack(balances).mean() if balances else None)

    def hidden(
        self,
        tokens: Tensor,
        *,
        types: Tensor | None = None,
        present: Tensor | None = None,
        source: Tensor | None = None,
        source_present: Tensor | None = None,
        cache: Cache | None = None,
        keep: Keep = NOTHING,
        balances: list[Tensor] | None = None,
    ) -> Tensor:
        """What the output matrix reads: ids (batch, length) -> (batch, length, width).

        balances: gets the load-balancing loss of each layer with experts.
        """
        heard = self._hear(len(tokens), source, source_present, cache, keep, balances)
        return self.read(tokens, types=types, present=present, source=heard, cache=cache, keep=keep, balances=balances)

    def logits(self, x: Tensor, keep: Keep = NOTHING) -> Tensor:
        """(..., width) -> (..., vocabulary or classes), or as it is where vectors are what is wanted"""
        return self.output(x, self.embedding.tokens, keep)

    def _hear(
        self,
        rows: int,
        source: Tensor | None,
        present: Tensor | None,
        cache: Cache | None,
        keep: Keep,
        balances: list[Tensor] | None,
    ) -> Source | None:
        """What the encoder has read, from the cache if it is there; None in other kinds of models."""
        held = None if cache is None else cache.source
        check_source(self.spec, rows=rows, source_rows=None if source is None else len(source), held=held is not None)
        if self.encoder is None or held is not None or source is None:
            return held
        if present is not None:
            check_source_rows(present.bool().any(1).tolist())
        encoded = self.encoder.read(source, present=present, keep=keep.under("encoder"), balances=balances)
        bias = None
        if present is not None:
            bias = torch.zeros(present.shape, dtype=encoded.dtype, device=encoded.device)
            bias = bias.masked_fill_(~present.bool(), -torch.inf)[:, None, None]  # (batch, 1, 1, source_length)
        if cache is None:
            return Source(encoded, bias)
        cache.source = Source(encoded, bias, held={})
        return cache.source

    def backward(self, details: Details) -> None:
        self.objective(details).backward()

    def objective(self, details: Details) -> Tensor:
        """What training makes small, a scalar: the loss, and with experts their load-balancing loss times its share."""
        assert details.loss is not None, "backward needs a forward pass with targets"
        if self.spec.experts is None or details.balance is None:
            return details.loss
        return details.loss + self.spec.experts.balance * details.balance

    def weights(self) -> dict[str, Tensor]:
        return self._canonical({name: parameter.detach() for name, parameter in self.named_parameters()})

    def gradients(self) -> dict[str, Tensor]:
        held = {name: parameter.grad for name, parameter in self.named_parameters()}
        return self._canonical({name: gradient for name, gradient in held.items() if gradient is not None})

    def load_weights(self, weights: Mapping[str, Any]) -> None:
        """See `interface.Transformer.load_weights`; takes tensors and whatever NumPy can read, of any float type."""
        own = self.weights()
        check_weights({name: tuple(weight.shape) for name, weight in weights.items()}, self.spec)
        with torch.no_grad():
            for name, weight in weights.items():
                own[name].copy_(weight if isinstance(weight, Tensor) else torch.from_numpy(np.asarray(weight)))

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)

    def batch(self, rows: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(rows, dtype=torch.int64, device=self.embedding.tokens.device)

    def most_likely(self, logits: Tensor) -> int:
        return int(logits.argmax())

    def _canonical(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parameters, or things of their shapes, by canonical name: what is fused comes apart as views of its rows."""
        apart = dict(self._apart(tensors))
        return {name: apart[name] for name in weight_shapes(self.spec) if name in apart}

    def _apart(self, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        shapes = weight_shapes(self.spec)
        for name, tensor in tensors.items():
            owner, _, last = name.rpartition(".")
            if last not in FUSED:
                yield name, tensor
                continue
            names = [f"{owner}.{part}" for part in FUSED[last]]
            rows = max(0, tensor.ndim - 2)  # behind the experts, where there are any
            yield from zip(names, tensor.split([shapes[part][rows] for part in names], rows), strict=True)
