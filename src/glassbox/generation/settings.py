"""How to continue a text: every choice of decoding, and what is out of bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from glassbox.errors import BadInput

AtLimit = Literal["stop", "slide"]


@dataclass(frozen=True, slots=True)
class Decoding:
    """Settings of one generation; every default leaves the model's own distribution as it is.

    max_tokens:         most tokens to add.
    temperature:        divides the logits; 0 takes the most likely token always (greedy).
    top_k, top_p, min_p: rule out unlikely tokens; 0, 1 and 0 rule out none.
    repetition_penalty: on tokens of prompt and answer; 1 is none.
    presence_penalty, frequency_penalty: on tokens of the answer; 0 is none.
    seed:               with the row and the position, all that decides a draw.
    stop:               texts that end an answer; they aren't part of it.
    end_tokens:         ids that end an answer; they aren't part of its text.
    alternatives:       None: no log-probabilities; n: the log-probability of each token, and the n most likely ones.
    at_limit:           when the context is full: stop, or slide: go on with the newer half of it.

    Raises BadInput for a value out of bounds.
    """

    max_tokens: int = 256
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    end_tokens: tuple[int, ...] = ()
    alternatives: int | None = None
    at_limit: AtLimit = "stop"

    def __post_init__(self) -> None:
        _within("max_tokens", self.max_tokens, 1, 10_000_000)
        _within("temperature", self.temperature, 0, 100)
        _within("top_k", self.top_k, 0, 1_000_000_000)
        _within("top_p", self.top_p, 1e-9, 1)
        _within("min_p", self.min_p, 0, 1)
        _within("repetition_penalty", self.repetition_penalty, 1e-3, 1e3)
        _within("presence_penalty", self.presence_penalty, -1e3, 1e3)
        _within("frequency_penalty", self.frequency_penalty, -1e3, 1e3)
        _within("seed", self.seed, 0, 2**64 - 1)
        _within("alternatives", self.alternatives or 0, 0, 1000)
        if self.at_limit not in ("stop", "slide"):
            raise BadInput(f"at_limit is {self.at_limit!r}.", "Set it to stop or slide.")
        if not all(self.stop):
            raise BadInput("A stop text is empty, so that every answer would end at once.", "Drop it.")

    @property
    def penalizes(self) -> bool:
        """Does any penalty change the logits?"""
        return self.repetition_penalty != 1 or self.presence_penalty != 0 or self.frequency_penalty != 0


def _within(name: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:  # NaN is neither
        raise BadInput(f"{name} is {value:g}.", f"Set it to a number from {lowest:g} to {highest:g}.")
