"""The answer to a request as text, part by part, as it is read along while the answer is being written."""

from __future__ import annotations

from dataclasses import dataclass

from glassbox.generation import Finish, Likelihood
from glassbox.generation.text import TextStream, spelled
from glassbox.serving.requests import Failure, Request
from glassbox.tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Part:
    """What was written of an answer since the part before.

    ids:         all tokens. spelled_ids: without an end token, which stands for no text.
    likelihoods: of the ids, if they were asked for.
    finish:      with the last part, why the answer ended.
    """

    ids: list[int]
    spelled_ids: list[int]
    text: str
    likelihoods: list[Likelihood]
    finish: Finish | None


class Transcript:
    """Reads along in a request. Many tokens become text for little more than one: the more seldom it reads, the less
    it keeps the thread that writes from its work.
    """

    def __init__(self, request: Request, tokenizer: Tokenizer) -> None:
        self.request = request
        self.whole = False  # its last part has been read
        self._tokenizer = tokenizer
        self._text = TextStream(request.decoding.stop)
        self._read = 0  # tokens of the answer

    @property
    def has_more(self) -> bool:
        return not self.whole and (self.request.ended or self.request.written > self._read)

    def read(self) -> Part:
        """What has been written since the last time, perhaps nothing. Raises Failed."""
        request = self.request
        finish = request.finish  # first, because it is set last: with it all the rest is there, but not the other way
        if request.failure is not None:
            raise Failed(request.failure)
        ids = request.ids[request.prompt + self._read :]
        likelihoods = request.likelihoods[self._read : self._read + len(ids)]
        self._read += len(ids)
        spelled_ids = ids[:-1] if ids and ids[-1] in request.decoding.end_tokens else ids  # nothing comes behind one
        text = self._text.add(b"".join([spelled(self._tokenizer, id) for id in spelled_ids]))
        if finish is not None:
            text += self._text.end()
            self.whole = True
        return Part(ids, spelled_ids, text, likelihoods, finish)


class Failed(Exception):  # noqa: N818  (it reads as what happened: "raise Failed")
    """The model failed while it wrote."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.problem)
        self.failure = failure
