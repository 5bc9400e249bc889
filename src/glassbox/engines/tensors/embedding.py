"""From ids to the vectors that the blocks work on, and from vectors to logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glassbox.engines.tensors.feedforward import ACTIVATIONS
from glassbox.engines.tensors.linear import linear
from glassbox.engines.tensors.normalization import Unchanged, norm
from glassbox.engines.tensors.positions import Tables
from glassbox.engines.values import NOTHING, Keep
from glassbox.spec import ModelSpec


class Embedding(nn.Module):
    """Each token's row of a table, times the scale, plus its position's row (learned and sinusoidal positions).

    tokens: the table, (vocabulary, width), which an encoder and its decoder share; None for one of its own.
    """

    def __init__(self, spec: ModelSpec, tokens: nn.Parameter | None = None) -> None:
        super().__init__()
        self.scale = spec.embedding_scale
        self.kind = spec.positions
        self.tokens = nn.Parameter(torch.empty(spec.vocabulary_size, spec.width)) if tokens is None else tokens
        self.positions = nn.Parameter(torch.empty(spec.context, spec.width)) if self.kind == "learned" else None
        self.token_types = nn.Parameter(torch.empty(spec.token_types, spec.width)) if spec.token_types else None

    def forward(
        self,
        tokens: Tensor,
        start: int,
        positions: Tensor | None,
        tables: Tables,
        keep: Keep,
        *,
        types: Tensor | None = None,
    ) -> Tensor:
        """Ids (batch, length) -> (batch, length, width); they stand at `start` and after, or at `positions` of each.

        types: the kind of each token, (batch, length); None: 0 for all.
        """
        x = F.embedding(tokens, self.tokens)
        if self.scale != 1:
            x = x * self.scale
        keep("token_vectors", x)
        if self.kind in ("learned", "sinusoidal"):
            end = start + tokens.shape[1]
            table = self.positions
            if table is None:
                table = tables.sinusoidal(0, end, x.dtype, x.device)
            vectors = table[start:end] if positions is None else F.embedding(positions, table)
            keep("position_vectors", vectors)
            x = x + vectors
        if self.token_types is not None:
            vectors = F.embedding(torch.zeros_like(tokens) if types is None else types, self.token_types)
            keep("type_vectors", vectors)
            x = x + vectors
        keep("output", x)
        return x


class Output(nn.Module):
    """Logits: the final vectors times a matrix of their own, or times the token embedding again (Press & Wolf 2017).

    Before it, if asked, one more layer: BERT's for words (Devlin et al. 2019), or its pooler for classes.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        outputs = spec.classes if spec.head == "classes" else spec.vocabulary_size
        self.gives_vectors = spec.head == "vectors"
        self.scale, self.softcap = spec.logit_scale, spec.logit_softcap
        self.transform = None
        if spec.output_transform:
            self.activation = torch.tanh if spec.head == "classes" else ACTIVATIONS[spec.activation]
            self.transform = nn.Parameter(torch.empty(spec.width, spec.width))
            self.transform_bias = nn.Parameter(torch.empty(spec.width))
            self.transform_norm = norm(spec) if spec.head == "language" else Unchanged()
        has_weight = not (spec.tied_embeddings or self.gives_vectors)
        self.weight = nn.Parameter(torch.empty(outputs, spec.width)) if has_weight else None
        self.bias = nn.Parameter(torch.empty(outputs)) if spec.output_bias else None

    def forward(self, x: Tensor, embedding: Tensor, keep: Keep = NOTHING) -> Tensor:
        """(..., width) -> (..., vocabulary or classes), or as it is where vectors are what is wanted"""
        if self.gives_vectors:
            return x
        if self.transform is not None:
            x = self.transform_norm(self.activation(linear(x, self.transform, self.transform_bias)))
            keep("transformed", x)
        if self.scale != 1:
            x = x * self.scale
        logits = linear(x, embedding if self.weight is None else self.weight, self.bias)
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)  # Gemma 2 (2024), §2
        return logits
