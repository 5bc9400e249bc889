"""Beam search: follow several continuations at once, and keep those that are most likely as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from glassbox.engines.tensors.cache import Cache
from glassbox.engines.tensors.step import Step
from glassbox.engines.tensors.transformer import Transformer
from glassbox.errors import BadInput

State = Literal["followed", "ended"]


@dataclass(frozen=True, slots=True)
class Node:
    """One token in the tree of hypotheses.

    id, parent:      place in `BeamSearch.nodes`; None for the parent of a first token.
    log_probability: of all tokens from the prompt to this one, together.
    depth:           tokens from the prompt to this one.
    state:           followed (one of the beams at its depth) or ended (an end token).
    """

    id: int
    parent: int | None
    token: int
    log_probability: float
    depth: int
    state: State


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A finished answer: its ids without the prompt, its score, and its last node."""

    ids: tuple[int, ...]
    score: float
    node: int


@dataclass(frozen=True, slots=True)
class BeamSearch:
    """What a search found, best first, and the tree of all that it followed, parents before children."""

    hypotheses: tuple[Hypothesis, ...]
    nodes: tuple[Node, ...]


@torch.inference_mode()
def beam_search(
    model: Transformer,
    prompt: Sequence[int],
    *,
    beams: int,
    max_tokens: int,
    length_penalty: float = 1.0,
    end_tokens: Sequence[int] = (),
) -> BeamSearch:
    """The `beams` best answers found, at most `max_tokens` long.

    An answer's score is its log-probability over its length to the power of `length_penalty` (Wu et al. 2016, §7, in
    the simple form that `transformers` uses): above 0 favours long answers. The search ends when no beam followed can
    still beat the worst of `beams` finished answers at its present length, or at `max_tokens` or the context's end,
    where the beams followed count as finished.
    Raises BadInput for numbers out of bounds and a prompt that leaves no room in the context.
    """
    _check(model, prompt, beams, max_tokens)
    search = _Search(beams, length_penalty, frozenset(end_tokens))
    steps = min(max_tokens, model.spec.context - len(prompt))
    cache = Cache(model.spec, beams, len(prompt) + steps, like=model.embedding.tokens)
    step = Step(model, beams)
    training = model.training
    model.eval()  # no dropout
    try:
        tokens = torch.tensor([list(prompt)] * beams, device=model.embedding.tokens.device)  # (beams, length)
        logits = model.logits(model.hidden(tokens, cache=cache)[:, -1])  # (beams, vocabulary)
    finally:
        model.train(training)
    for depth in range(1, steps + 1):
        search.grow(logits, depth)
        if search.settled(depth):
            break
        if depth == steps:
            search.finish_all()
            break
        # With fewer beams than there is room for (a tiny vocabulary), the rest of the batch reads along unheard.
        unused = beams - len(search.beams)
        cache.choose(torch.tensor(search.came_from + [0] * unused, device=tokens.device))
        following = [search.nodes[node].token for node in search.beams] + [0] * unused
        logits = step(torch.tensor(following, device=tokens.device), cache)
    return search.result()


class _Search:
    """The tree, the nodes followed now, and the answers finished."""

    def __init__(self, width: int, length_penalty: float, end_tokens: frozenset[int]) -> None:
        self.width = width
        self.length_penalty = length_penalty
        self.end_tokens = end_tokens
        self.nodes: list[Node] = []
        self.beams: list[int] = []  # nodes followed, best first
        self.came_from: list[int] = []  # for each of them: the beam that it continues
        self.finished: list[Hypothesis] = []

    def grow(self, logits: Tensor, depth: int) -> None:
        """Follow the best continuations; logits: (beams, vocabulary)."""
        log_probabilities = logits.double().log_softmax(-1)
        if self.beams:
            so_far = torch.tensor([self.nodes[node].log_probability for node in self.beams], dtype=torch.float64)
            totals = log_probabilities[: len(self.beams)] + so_far.to(logits.device)[:, None]
        else:  # all beams have read the same prompt: the first speaks for all
            totals = log_probabilities[:1]
        vocabulary = logits.shape[-1]
        # With every end token among the best, there are still as many to follow as there are beams.
        count = min(totals.numel(), self.width * (1 + len(self.end_tokens)))
        best = totals.flatten().topk(count)
        parents, came_from, followed = self.beams, list[int](), list[int]()
        for rank, (total, place) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            beam, token = divmod(place, vocabulary)
            ends = token in self.end_tokens
            if ends and rank >= self.width:  # an end that isn't among the best hypotheses is none
                continue
            node = Node(
                id=len(self.nodes),
                parent=parents[beam] if parents else None,
                token=token,
                log_probability=total,
                depth=depth,
                state="ended" if ends else "followed",
            )
            self.nodes.append(node)
            if ends:
                self._finish(node)
            else:
                followed.append(node.id)
                came_from.append(beam)
            if len(followed) == self.width:
                break
        self.beams, self.came_from = followed, came_from

    def settled(self, depth: int) -> bool:
        """Can nothing that is followed still get among the best answers?"""
        if not self.beams:
            return True
        if len(self.finished) < self.width:
            return False
        return self._score(self.nodes[self.beams[0]].log_probability, depth) <= self.finished[-1].score

    def finish_all(self) -> None:
        """Count the beams followed now as answers."""
        for node in self.beams:
            self._finish(self.nodes[node])

    def result(self) -> BeamSearch:
        return BeamSearch(tuple(self.finished), tuple(self.nodes))

    def _finish(self, node: Node) -> None:
        """Take an answer among the best if it is one of them; the earlier of equals stands first."""
        hypothesis = Hypothesis(self._path(node), self._score(node.log_probability, node.depth), node.id)
        self.finished = sorted([*self.finished, hypothesis], key=lambda answer: -answer.score)[: self.width]

    def _score(self, log_probability: float, length: int) -> float:
        return log_probability / length**self.length_penalty

    def _path(self, node: Node) -> tuple[int, ...]:
        """The tokens from the first one to this."""
        ids = [node.token]
        while node.parent is not None:
            node = self.nodes[node.parent]
            ids.append(node.token)
        return tuple(reversed(ids))


def _check(model: Transformer, prompt: Sequence[int], beams: int, max_tokens: int) -> None:
    spec = model.spec
    if spec.kind != "decoder":
        raise BadInput(f"This model is of kind {spec.kind}, and only a decoder continues text.", "Choose a decoder.")
    if not 1 <= beams <= 1000:
        raise BadInput(f"{beams} beams were asked for.", "Ask for 1 to 1000.")
    if max_tokens < 1:
        raise BadInput(f"max_tokens is {max_tokens}.", "Set it to at least 1.")
    if not 1 <= len(prompt) < spec.context:
        raise BadInput(
            f"The prompt has {len(prompt)} tokens, and the model's context is {spec.context}.",
            "Give at least one token, and leave room for one.",
        )
    if not all(0 <= token < spec.vocabulary_size for token in prompt):
        raise BadInput(
            f"The prompt holds ids outside of 0 to {spec.vocabulary_size - 1}.",
            "Encode the prompt with the model's own tokenizer.",
        )
