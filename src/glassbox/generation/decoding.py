"""Continue prompts: several at once, with a cache, token by token.

`Decoder.tokens` works on ids, `Decoder.stream` and `Decoder.complete` on text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glassbox.engines.checks import check_source
from glassbox.engines.padding import padded
from glassbox.engines.tensors.cache import Cache
from glassbox.engines.tensors.step import Step
from glassbox.engines.tensors.transformer import Transformer
from glassbox.errors import BadInput
from glassbox.generation.answer import Answer, Piece
from glassbox.generation.ending import Finish
from glassbox.generation.likelihood import Likelihood, likelihoods
from glassbox.generation.sampling import draw, penalized, uniform_numbers, warped
from glassbox.generation.settings import Decoding
from glassbox.tokenizers import Tokenizer

DRAWN_AHEAD = 64  # steps whose uniform numbers are made at once: one call costs as much as sixty


@dataclass(frozen=True, slots=True)
class Chosen:
    """One step: the id that each row goes on with, and on request how likely it was."""

    ids: list[int]
    likelihoods: list[Likelihood] | None


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer. `ids` hold every token, an end token and those of a stop text too; `text` doesn't."""

    prompt: str
    text: str
    ids: tuple[int, ...]
    finish: Finish
    likelihoods: tuple[Likelihood, ...] | None


class Decoder:
    """A model that writes, and its tokenizer where text is wanted, ready to continue prompts.

    What the model needs to be prepared for a batch size is kept for the next call, and made anew when weights change.
    Raises BadInput for a model that doesn't write.
    """

    def __init__(self, model: Transformer, tokenizer: Tokenizer | None = None) -> None:
        if model.spec.kind == "encoder":
            raise BadInput("This model is an encoder, which reads and writes nothing.", "Choose a decoder.")
        self.model = model
        self.tokenizer = tokenizer
        self._prepared: tuple[object, Step] | None = None

    def tokens(
        self,
        prompts: Sequence[Sequence[int]],
        decoding: Decoding,
        *,
        first_row: int = 0,
        sources: Sequence[Sequence[int]] | None = None,
    ) -> Iterator[Chosen]:
        """Ids chosen for every row, step by step, at most `max_tokens` times.

        Rows are numbered from `first_row` for their draws, so that many prompts may be worked off in several calls.

        A row knows no end here: whoever iterates looks for end tokens and stops when nothing is left to want. A row
        whose context is full goes on with the newer half of it, read anew, whatever `at_limit` says.

        sources: what an encoder-decoder reads before it writes, one for each prompt (which is how it begins to write).

        Raises BadInput for no prompts, an empty one, ids outside of the vocabulary, and sources that are missing or
        too many.
        """
        self._check(prompts)
        if sources is not None:
            self._check(sources)
            self._check_sources(sources)
        source_rows = None if sources is None else len(sources)
        check_source(self.model.spec, rows=len(prompts), source_rows=source_rows, held=False)
        return self._tokens([list(prompt) for prompt in prompts], decoding, first_row, sources)

    @torch.inference_mode()
    def _tokens(
        self, rows: list[list[int]], decoding: Decoding, first_row: int, sources: Sequence[Sequence[int]] | None
    ) -> Iterator[Chosen]:
        context = self.model.spec.context
        step = self._step(len(rows))
        chooser = _Chooser(rows, decoding, self.model, first_row)
        logits, cache = self._read(rows, decoding.max_tokens, sources)
        for index in range(decoding.max_tokens):
            tokens = chooser.choose(logits, index)
            ids = tokens.tolist()
            yield Chosen(ids, chooser.likelihoods(logits, tokens))
            for row, token in zip(rows, ids, strict=True):
                row.append(token)
            if index + 1 == decoding.max_tokens:
                return
            if cache.length == context:
                logits, cache = self._read(rows, decoding.max_tokens - index - 1, sources)
            else:
                logits = step(tokens, cache)

    def _read(self, rows: list[list[int]], more: int, sources: Sequence[Sequence[int]] | None) -> tuple[Tensor, Cache]:
        """The logits after each row, (rows, vocabulary), and a cache with room for `more` tokens or a full context."""
        model = self.model
        context, device = model.spec.context, model.embedding.tokens.device
        seen = [row if len(row) <= context else row[-max(1, context // 2) :] for row in rows]
        longest = max(map(len, seen))
        padding = None
        if any(len(row) < longest for row in seen):
            padding = torch.tensor([longest - len(row) for row in seen], device=device)
        cache = Cache(model.spec, len(rows), min(context, longest + more), like=model.embedding.tokens, padding=padding)
        tokens = torch.tensor([[0] * (longest - len(row)) + row for row in seen], device=device)  # (rows, longest)
        source = present = None
        if sources is not None:
            ids, lengths = padded(sources, filler=0)
            source = torch.from_numpy(ids).to(device)
            present = (torch.arange(ids.shape[1]) < torch.from_numpy(lengths)[:, None]).to(device)
        training = model.training
        model.eval()  # no dropout
        try:
            x = model.hidden(tokens, cache=cache, source=source, source_present=present)
            return model.logits(x[:, -1]), cache
        finally:
            model.train(training)

    def stream(self, prompts: Sequence[str], decoding: Decoding, *, first_row: int = 0) -> Iterator[Piece]:
        """Pieces of all answers as they come: one for each unfinished row, step by step.

        An empty prompt begins where a document begins: after the end of the one before.
        Raises BadInput for a prompt without tokens, or with more than the context holds (unless it may slide).
        """
        tokenizer = self._text_tokenizer()
        rows = [self.encode(prompt, decoding) for prompt in prompts]
        self._check(rows)
        return self._stream(rows, decoding, tokenizer, first_row)

    def _stream(
        self, rows: list[list[int]], decoding: Decoding, tokenizer: Tokenizer, first_row: int
    ) -> Iterator[Piece]:
        context = self.model.spec.context
        answers = {row: Answer(row, len(ids), decoding, tokenizer, context) for row, ids in enumerate(rows)}
        for chosen in self.tokens(rows, decoding, first_row=first_row):
            for row, answer in list(answers.items()):
                likelihood = None if chosen.likelihoods is None else chosen.likelihoods[row]
                piece = answer.add(chosen.ids[row], likelihood)
                if piece.finish:
                    del answers[row]
                yield piece
            if not answers:
                return

    def complete(self, prompts: Sequence[str], decoding: Decoding) -> list[Completion]:
        """The whole answer to each prompt. Raises BadInput as `stream` does."""
        pieces: list[list[Piece]] = [[] for _ in prompts]
        for piece in self.stream(prompts, decoding):
            pieces[piece.row].append(piece)
        return [completion(prompt, answer) for prompt, answer in zip(prompts, pieces, strict=True)]

    def _step(self, batch: int) -> Step:
        """The model prepared for a batch size: the one of the last call if it still fits the weights."""
        state = (batch, tuple((parameter.data_ptr(), parameter._version) for parameter in self.model.parameters()))
        if self._prepared is None or self._prepared[0] != state:
            self._prepared = (state, Step(self.model, batch))
        return self._prepared[1]

    def encode(self, prompt: str, decoding: Decoding) -> list[int]:
        """The ids that an answer goes on from, begun as texts were in training.

        Raises BadInput when they leave the answer no room, unless it may slide.
        """
        tokenizer, context = self._text_tokenizer(), self.model.spec.context
        ids = [*tokenizer.beginning, *tokenizer.encode(prompt)]
        if not ids and tokenizer.end_of_text is not None:
            ids = [tokenizer.end_of_text]
        if decoding.at_limit == "stop" and len(ids) >= context:
            raise BadInput(
                f"The prompt has {len(ids):,} tokens, and the model's context of {context:,} leaves no room to answer.",
                "Shorten the prompt, or set at_limit to slide.",
            )
        return ids

    def _text_tokenizer(self) -> Tokenizer:
        assert self.tokenizer is not None, "text needs a Decoder that was given a tokenizer"
        return self.tokenizer

    def _check_sources(self, sources: Sequence[Sequence[int]]) -> None:
        longest, context = max(map(len, sources)), self.model.spec.context
        if longest > context:
            raise BadInput(
                f"A source has {longest:,} tokens, and the model reads at most {context:,}.", "Shorten the source."
            )

    def _check(self, prompts: Sequence[Sequence[int]]) -> None:
        vocabulary = self.model.spec.vocabulary_size
        if not prompts:
            raise BadInput("No prompt was given.", "Give at least one.")
        for row, prompt in enumerate(prompts, start=1):
            if not prompt:
                raise BadInput(f"Prompt {row} has no tokens.", "Give it at least one token to go on from.")
            wrong = next((token for token in prompt if not 0 <= token < vocabulary), None)
            if wrong is not None:
                raise BadInput(
                    f"Prompt {row} holds the id {wrong}, and the model knows ids from 0 to {vocabulary - 1}.",
                    "Encode the prompt with the model's own tokenizer.",
                )


def completion(prompt: str, pieces: Sequence[Piece]) -> Completion:
    """One answer from all of its pieces."""
    finish = pieces[-1].finish
    assert finish is not None, "an answer is whole when its last piece says why it ends"
    likelihoods = tuple(piece.likelihood for piece in pieces if piece.likelihood is not None)
    return Completion(
        prompt=prompt,
        text="".join(piece.text for piece in pieces),
        ids=tuple(piece.id for piece in pieces),
        finish=finish,
        likelihoods=likelihoods or None,
    )


class _Chooser:
    """Picks a token for each row from its logits, by the settings and what was picked before."""

    def __init__(self, rows: list[list[int]], decoding: Decoding, model: Transformer, first_row: int) -> None:
        self.decoding = decoding
        self.rows = np.arange(first_row, first_row + len(rows), dtype=np.uint64)[:, None]
        self.starts = np.array([[len(row)] for row in rows], np.uint64)
        self.device = model.embedding.tokens.device
        self.uniform = torch.empty(0)
        self.seen: Tensor | None = None
        self.counts: Tensor | None = None
        if decoding.penalizes:  # (rows, vocabulary): which tokens stand in prompt or answer; how often in the answer
            self.seen = torch.zeros(len(rows), model.spec.vocabulary_size, dtype=torch.bool, device=self.device)
            for row, prompt in enumerate(rows):
                self.seen[row, prompt] = True
            self.counts = torch.zeros_like(self.seen, dtype=torch.float32)

    def choose(self, logits: Tensor, index: int) -> Tensor:
        """(rows,) ids for step `index`, from logits (rows, vocabulary)."""
        decoding = self.decoding
        if decoding.penalizes:
            logits = penalized(logits, decoding, self.seen, self.counts)
        tokens = logits.argmax(-1) if decoding.temperature == 0 else self._draw(warped(logits, decoding), index)
        if self.seen is not None and self.counts is not None:
            self.seen.scatter_(1, tokens[:, None], True)
            self.counts.scatter_add_(1, tokens[:, None], torch.ones_like(self.counts[:, :1]))
        return tokens

    def _draw(self, logits: Tensor, index: int) -> Tensor:
        ahead = index % DRAWN_AHEAD
        if ahead == 0:
            positions = self.starts + np.arange(index, index + DRAWN_AHEAD, dtype=np.uint64)  # (rows, DRAWN_AHEAD)
            numbers = uniform_numbers(self.decoding.seed, self.rows, positions)
            self.uniform = torch.from_numpy(numbers).to(self.device)
        return draw(logits, self.uniform[:, ahead])

    def likelihoods(self, logits: Tensor, tokens: Tensor) -> list[Likelihood] | None:
        """How likely each row's token was to the model itself, and what else was."""
        alternatives = self.decoding.alternatives
        return None if alternatives is None else likelihoods(logits, tokens, alternatives)
