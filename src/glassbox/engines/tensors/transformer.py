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
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from glassbox.engines import interface
from glassbox.engines.checks import check_spec, check_weights
from glassbox.engines.initialization import initial_weights
from glassbox.engines.interface import IGNORED, Details
from glassbox.engines.tensors.attention import Surroundings
from glassbox.engines.tensors.block import Block
from glassbox.engines.tensors.cache import Cache
from glassbox.engines.tensors.embedding import Embedding, Output
from glassbox.engines.tensors.normalization import Unchanged, norm
from glassbox.engines.tensors.positions import Tables
from glassbox.engines.tensors.relative_positions import RelativePositions
from glassbox.engines.values import NOTHING, Keep, keeping
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, weight_shapes

# The last part of a parameter's name -> the canonical weights that its rows are, in order.
FUSED = {
    "query_key_value": ("query", "key", "value"),
    "query_key_value_bias": ("query_bias", "key_bias", "value_bias"),
    "gate_up": ("gate", "up"),
    "gate_up_bias": ("gate_bias", "up_bias"),
}


class Transformer(nn.Module, interface.Transformer):
    """A decoder or an encoder of any spec.

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
        super().__init__()
        check_spec(spec)
        self.spec = spec
        self.dropout = dropout
        self.checkpointing = checkpointing
        self.tables = Tables(spec)
        self.embedding = Embedding(spec)
        self.embedding_norm = norm(spec) if spec.embedding_norm else Unchanged()
        self.relative_positions = RelativePositions(spec) if spec.positions == "relative" else None
        self.blocks = nn.ModuleList(Block(spec, layer) for layer in range(spec.layers))
        self.final_norm = norm(spec) if spec.final_norm else Unchanged()
        self.output = Output(spec)
        self.load_weights(initial_weights(spec, seed) if weights is None else weights)

    def forward(
        self,
        tokens: Tensor,
        targets: Tensor | None = None,
        *,
        keep: Iterable[str] = (),
        present: Tensor | None = None,
        cache: Cache | None = None,
    ) -> tuple[Tensor, Details]:
        """See `interface.Transformer.forward`; here besides:

        present: (batch, length), True or 1 for a real token, False or 0 for padding that nobody may look at.
        cache:   what was read before; `tokens` continue it and are added to it.
        """
        collect = keeping(self.spec, keep)
        balances: list[Tensor] | None = None if targets is None or self.spec.experts is None else []
        x = self.hidden(tokens, present=present, cache=cache, keep=collect, balances=balances)
        logits = self.logits(x[:, 0] if self.spec.head == "classes" else x)  # a classifier reads its first token
        collect("logits", logits)
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED)
        return logits, Details(loss, collect.values, torch.stack(balances).mean() if balances else None)

    def hidden(
        self,
        tokens: Tensor,
        *,
        present: Tensor | None = None,
        cache: Cache | None = None,
        keep: Keep = NOTHING,
        balances: list[Tensor] | None = None,
    ) -> Tensor:
        """What the output matrix reads: ids (batch, length) -> (batch, length, width).

        balances: gets the load-balancing loss of each layer with experts.
        """
        start = 0 if cache is None else cache.length
        end = start + tokens.shape[1]
        self._check_room(end, cache)
        padding = None if cache is None else cache.padding
        positions = None
        if padding is not None:  # (batch, length); padding itself stands at 0 and is seen by nobody
            positions = (torch.arange(start, end, device=tokens.device) - padding[:, None]).clamp_(min=0)
        dropout = self.dropout if self.training else 0.0

        x = self.embedding(tokens, start, positions, self.tables, keep.under("embedding"))
        x = self.embedding_norm(x, keep.under("embedding_norm"))
        if dropout:
            x = F.dropout(x, dropout)
        if torch.is_autocast_enabled(x.device.type):  # from here on everything is computed in one dtype
            x = x.to(torch.get_autocast_dtype(x.device.type))
        bias = self._bias(start, end, x, present, padding)
        causal = bias is None and self.spec.causal
        if end == start + 1:  # one token has nothing ahead of it; a branch, because compiled lengths are symbols
            causal = False
        around = Surroundings(
            tokens=tokens,
            rotary=self._rotary(start, end, positions, x),
            bias=bias,
            causal=causal,
            cache=cache,
            dropout=dropout,
            present=None if present is None else present[:, start:],
            balances=balances,
        )
        for layer, block in enumerate(self.blocks):
            kept = keep.under(f"blocks.{layer}")
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, around, kept, use_reentrant=False)
            else:
                x = block(x, around, kept)
        if cache is not None:
            cache.length = end
        return self.final_norm(x, keep.under("final_norm"))

    def logits(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., vocabulary or classes)"""
        return self.output(x, self.embedding.tokens)

    def _rotary(self, start: int, end: int, positions: Tensor | None, x: Tensor) -> tuple[Tensor, Tensor] | None:
        if self.spec.positions != "rotary":
            return None
        if positions is None:
            return self.tables.rotary(start, end, x.dtype, x.device)
        cosines, sines = self.tables.rotary(0, end, x.dtype, x.device)
        return cosines[positions], sines[positions]  # (batch, length, 1, rotated_width)

    def _bias(self, start: int, end: int, x: Tensor, present: Tensor | None, padding: Tensor | None) -> Tensor | None:
        """What is added to the scores, or None where the kernel's own causality (or nothing at all) is enough."""
        spec = self.spec
        if padding is not None:
            present = torch.arange(end, device=x.device) >= padding[:, None]  # (batch, keys)
        windowed = spec.window is not None and spec.window < end
        continues = spec.causal and 0 < start < end - 1
        if not (windowed or continues or spec.positions in ("alibi", "relative") or present is not None):
            return None
        bias = self.tables.bias(start, end, x.dtype, x.device)  # (heads or 1, length, keys)
        if self.relative_positions is not None:
            bias = bias + self.relative_positions(start, end).to(x.dtype)  # (heads, length, keys)
        if present is None:
            return bias[None]  # of three dimensions the fused kernel takes none, and a step would hold all scores
        # A token always sees itself, so that a row of padding has something to average and yields no NaN.
        itself = torch.arange(start, end, device=x.device)[:, None] == torch.arange(end, device=x.device)
        seen = present.bool()[:, None, None, :] | itself  # (batch, 1, length, keys)
        return torch.where(seen, bias, -torch.inf)  # (batch, heads or 1, length, keys)

    def _check_room(self, end: int, cache: Cache | None) -> None:
        limit = self.spec.context if cache is None else min(self.spec.context, cache.capacity)
        if end > limit:
            raise BadInput(
                f"{end} tokens were given at once, and there is room for {limit}.",
                f"Give at most {limit} tokens, or choose a model with a longer context.",
            )

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
