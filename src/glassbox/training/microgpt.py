"""microgpt by any engine: the run of `glassbox/microgpt.py`, step by step, with another engine's numbers.

Everything random is drawn as there: one `random.Random` shuffles the names, fills the matrices, and picks the letters,
in that order. So the losses are the plain file's, up to the last digits' rounding, and the samples are the same.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glassbox.engines.catalogue import as_array, engine
from glassbox.engines.interface import Transformer
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, preset, weight_shapes

LEARNING_RATE, BETAS, EPSILON = 0.01, (0.85, 0.99), 1e-8
TEMPERATURE = 0.5

# The order in which the plain file fills its matrices.
FIRST = ("embedding.tokens", "embedding.positions", "output.weight")
EACH_LAYER = (
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.output",
    "feedforward.up",
    "feedforward.down",
)


@dataclass(frozen=True)
class Sizes:
    """The plain file's options."""

    seed: int = 42
    steps: int = 1000
    layers: int = 1
    width: int = 16
    heads: int = 4
    context: int = 16
    samples: int = 20

    def __post_init__(self) -> None:
        """Raises BadInput for what cannot be built or trained."""
        for size in ("steps", "layers", "width", "heads", "context"):
            if getattr(self, size) < 1:
                raise BadInput(f"{size} is {getattr(self, size)}.", "Give a whole number of at least 1.")
        for size in ("seed", "samples"):
            if getattr(self, size) < 0:
                raise BadInput(f"{size} is {getattr(self, size)}.", "Give a whole number of at least 0.")
        if self.width % self.heads:
            raise BadInput(
                f"A width of {self.width} cannot be shared evenly by {self.heads} heads.",
                "Choose a width that is a multiple of the heads.",
            )


def read_names(file: Path) -> list[str]:
    """The names in a file, one a line. Raises BadInput when there are none to be read."""
    remedy = "Give a text file in UTF-8 with one name a line."
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} cannot be read: {error}.", remedy) from None
    if not names:
        raise BadInput(f"{file} has no names in it.", remedy)
    for number, name in enumerate(names, 1):
        if not name.isprintable():
            raise BadInput(f"Name {number} of {file} has characters that cannot be shown: {name[:40]!a}.", remedy)
    return names


def run(
    names: Sequence[str], sizes: Sizes, engine_name: str, report: Callable[[str], None] = print
) -> dict[str, list[Any]]:
    """Train on the names in float64, then write new ones: the `losses` of every step and the `samples`.

    Raises BadInput for an engine that doesn't exist.
    """
    chosen = engine(engine_name)
    generator = random.Random(sizes.seed)
    shuffled = list(names)
    generator.shuffle(shuffled)
    characters = sorted(set("".join(shuffled)))
    ids = {character: place for place, character in enumerate(characters)}
    bos = len(characters)
    spec = spec_of(sizes, vocabulary_size=bos + 1)
    model = chosen.transformer(spec, weights=drawn_weights(spec, generator), precision="float64")
    optimizer = chosen.optimizer("adam", model, LEARNING_RATE, betas=BETAS, epsilon=EPSILON)
    parameters = sum(math.prod(shape) for shape in weight_shapes(spec).values())
    report(f"{len(names):,} names, {bos + 1} tokens, {parameters:,} parameters")

    losses: list[float] = []
    for step in range(sizes.steps):
        name = shuffled[step % len(shuffled)]
        tokens = [bos, *(ids[character] for character in name), bos][: sizes.context + 1]
        optimizer.learning_rate = LEARNING_RATE * (1 - step / sizes.steps)
        losses.append(model.train_step(model.batch([tokens[:-1]]), model.batch([tokens[1:]]), optimizer))
        report(f"step {step + 1:4} / {sizes.steps:4} | loss {losses[-1]:.4f}")

    samples: list[str] = []
    for number in range(sizes.samples):
        samples.append("".join(characters[token] for token in sample(model, bos, generator)))
        report(f"sample {number + 1:2}: {samples[-1]}")
    return {"losses": losses, "samples": samples}


def spec_of(sizes: Sizes, vocabulary_size: int) -> ModelSpec:
    """The preset in other sizes."""
    return preset("microgpt").replace(
        vocabulary_size=vocabulary_size,
        context=sizes.context,
        width=sizes.width,
        layers=sizes.layers,
        heads=sizes.heads,
    )


def drawn_weights(spec: ModelSpec, generator: random.Random) -> dict[str, NDArray[np.float64]]:
    """Canonical name -> matrix, drawn row by row in the plain file's order."""
    shapes = weight_shapes(spec)
    order = [*FIRST, *(f"blocks.{layer}.{name}" for layer in range(spec.layers) for name in EACH_LAYER)]
    assert sorted(order) == sorted(shapes), "the preset's weights are those of the plain file"
    numbers = {name: [generator.gauss(0, spec.initial_std) for _ in range(math.prod(shapes[name]))] for name in order}
    return {name: np.array(drawn).reshape(shapes[name]) for name, drawn in numbers.items()}


class _Ended(Exception):  # noqa: N818  (no error: how a choice says that the name is complete)
    pass


def sample(model: Transformer, bos: int, generator: random.Random) -> list[int]:
    """The tokens of one new name. Each is read once, where the engine keeps a cache of keys and values."""
    written: list[int] = []

    def choose(logits: Any) -> int:
        scores = [score / TEMPERATURE for score in as_array(logits).tolist()]
        largest = max(scores)
        exponentials = [math.exp(score - largest) for score in scores]
        total = sum(exponentials)
        (token,) = generator.choices(range(len(scores)), weights=[each / total for each in exponentials])
        if token == bos:
            raise _Ended
        written.append(token)
        return token

    with contextlib.suppress(_Ended):
        model.generate([bos], model.spec.context, choose)
    return written
