"""The learning rate of step t: pure functions, so that a resumed run needs nothing but t.

    rate = Schedule("wsd", steps=2000, learning_rate=0.03, warmup=50)
    rate(0), rate(1999)

Every schedule climbs in a straight line over its warm-up (Goyal et al. 2017, §2.2), is at its height at the first step
after it, and reaches its lowest rate at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from glassbox.errors import BadInput

Shape = Literal["constant", "linear", "cosine", "wsd"]


@dataclass(frozen=True)
class Schedule:
    """Step -> learning rate, for steps 0 to `steps` - 1; beyond the last one the rate stays where it ended.

    shape:    constant; linear (to the floor); cosine (half a wave to the floor; Loshchilov & Hutter 2017, eq. 5);
              wsd (warm-up, stable, decay: constant, then a straight line to the floor; Hu et al. 2024, MiniCPM, §4.2).
    warmup:   steps of the climb, the first of which already has 1/(warmup + 1) of the height.
    floor:    the rate at the end as a share of the height; constant has none.
    decay:    the share of the steps, the last ones, in which wsd goes down.

    Raises BadInput for numbers that leave no schedule.
    """

    shape: Shape
    steps: int
    learning_rate: float
    warmup: int = 0
    floor: float = 0.0
    decay: float = 0.7

    def __post_init__(self) -> None:
        if self.shape not in get_args(Shape):
            raise BadInput(
                f"There is no learning-rate schedule called {self.shape!r}.",
                f"Choose one of {', '.join(get_args(Shape))}.",
            )
        if self.steps < 1 or self.warmup < 0:
            raise BadInput(
                f"A schedule of {self.steps} steps with {self.warmup} of warm-up was asked for.",
                "Give at least one step and a warm-up of 0 or more.",
            )
        if self.warmup >= self.steps:
            raise BadInput(
                f"The warm-up of {self.warmup:,} steps is as long as the training of {self.steps:,} steps.",
                "Shorten the warm-up or train longer.",
            )
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise BadInput(f"The learning rate is {self.learning_rate}.", "Give a number above 0.")
        if not (0 <= self.floor <= 1 and 0 < self.decay <= 1):
            raise BadInput(
                f"The floor is {self.floor} and the decay {self.decay}, both shares.",
                "Give a floor from 0 to 1 and a decay above 0 and at most 1.",
            )

    def __call__(self, step: int) -> float:
        """The learning rate of this step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / (self.warmup + 1)
        remaining = self._remaining(min(1.0, (step - self.warmup) / (self.steps - self.warmup)))
        return self.learning_rate * (self.floor + (1 - self.floor) * remaining)

    def _remaining(self, done: float) -> float:
        """How much of the way from height to floor is left when this share of the steps after the warm-up is done."""
        match self.shape:
            case "constant":
                return 1.0
            case "linear":
                return 1 - done
            case "cosine":
                return (1 + math.cos(math.pi * done)) / 2
            case "wsd":
                decaying = min(1.0, self.decay * self.steps / (self.steps - self.warmup))
                return min(1.0, (1 - done) / decaying)
