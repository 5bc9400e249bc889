"""What every engine offers: the same class and file names, the same names of weights and values.

An `Array` is whatever the engine computes with: a `torch.Tensor`, a NumPy array, nested lists, a graph of scalars.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from glassbox.engines.checks import check_prompt
from glassbox.spec import ModelSpec

Array = Any
IGNORED = -1  # a target of this value doesn't count in the loss


@dataclass(frozen=True, slots=True)
class Details:
    """What a forward pass says besides its logits.

    loss:    mean cross-entropy in nats over the targets that count; None when no targets were given.
    values:  canonical name (`glassbox.engines.values`) -> value, for the names asked for.
    balance: load-balancing loss of a mixture of experts (Fedus et al. 2021, §2.2), averaged over its layers, when
             targets were given: N times the sum over the N experts of the share of tokens that visit it times its
             mean probability. As many as a token visits when all are visited alike, up to N when one is alone.
    """

    loss: Array | None = None
    values: Mapping[str, Array] = field(default_factory=dict)
    balance: Array | None = None


class Optimizer(Protocol):
    """What `train_step` needs of an optimiser: one update from the gradients that the model holds now."""

    def step(self) -> None: ...


class Transformer(ABC):
    """A model of one spec in one engine."""

    spec: ModelSpec

    @abstractmethod
    def forward(
        self,
        tokens: Array,
        targets: Array | None = None,
        *,
        keep: Iterable[str] = (),
        types: Array | None = None,
        source: Array | None = None,
        source_present: Array | None = None,
    ) -> tuple[Array, Details]:
        """Logits of every next token.

        tokens:  ids, (batch, length), length at most `spec.context`.
        targets: ids, (batch, length), `IGNORED` where no loss is wanted; (batch,) for a classifier.
        keep:    canonical names of intermediate values to return, `*` standing for anything
                 (`blocks.*.attention.weights`). Nothing is computed or held for names that aren't asked for.
        types:   with token types, the kind of each token, (batch, length); 0 for all if none are given.
        source:  of an encoder-decoder: the ids that its encoder reads, (batch, source_length).
        source_present: (batch, source_length), True for a real token, False for padding that nobody may look at.

        Returns logits (batch, length, vocabulary), or (batch, classes) of a classifier, or the vectors (batch, length,
        width) with head = vectors; and the details.
        Raises BadInput for tokens longer than the context, for a name that this model has no value of, and for a source
        that an encoder-decoder lacks or another model is given.
        """

    @abstractmethod
    def backward(self, details: Details) -> None:
        """Add the gradients of `details.loss` to those held.

        Of a mixture of experts those of `details.loss` plus `spec.experts.balance` times `details.balance`.
        """

    @abstractmethod
    def weights(self) -> dict[str, Array]:
        """Canonical name -> the weight itself: writing into it changes the model."""

    @abstractmethod
    def gradients(self) -> dict[str, Array]:
        """Canonical name -> the gradient held now; empty before the first `backward`."""

    @abstractmethod
    def load_weights(self, weights: Mapping[str, Array]) -> None:
        """Copy them in. Raises BadInput naming what is missing, unknown or of another shape; then nothing changes."""

    @abstractmethod
    def zero_grad(self) -> None:
        """Forget the gradients held."""

    def train_step(
        self,
        tokens: Array,
        targets: Array,
        optimizer: Optimizer,
        *,
        types: Array | None = None,
        source: Array | None = None,
        source_present: Array | None = None,
    ) -> float:
        """One step of training on one batch (see `forward`). Returns the loss before the update, in nats per token."""
        self.zero_grad()
        _, details = self.forward(tokens, targets, types=types, source=source, source_present=source_present)
        self.backward(details)
        optimizer.step()
        assert details.loss is not None  # targets were given
        return details.loss.item()

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        choose: Callable[[Array], int] | None = None,
        *,
        source: Sequence[int] | None = None,
    ) -> list[int]:
        """The prompt continued by `max_tokens` ids, each picked from its logits (vocabulary,) by `choose`.

        source: what an encoder-decoder reads before; its prompt is how it begins to write.

        The plain definition: every token reads the last `spec.context` tokens anew, and without `choose` the most
        likely one is taken. `glassbox.generation` does the same with a cache, many times faster.
        Raises BadInput for an empty prompt and for a model that writes no tokens.
        """
        check_prompt(len(prompt), self.spec)
        tokens = list(prompt)
        choose = choose or self.most_likely
        read = None if source is None else self.batch([source])
        for _ in range(max_tokens):
            logits, _ = self.forward(self.batch([tokens[-self.spec.context :]]), source=read)
            tokens.append(choose(logits[0][-1]))
        return tokens

    @abstractmethod
    def batch(self, rows: Sequence[Sequence[int]]) -> Array:
        """Rows of ids of one length as this engine's array of ids, (batch, length)."""

    @abstractmethod
    def most_likely(self, logits: Array) -> int:
        """The id of the largest of the logits (vocabulary,); the lowest id of equals."""
