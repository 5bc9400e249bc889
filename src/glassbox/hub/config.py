"""A model's config.json, read with suspicion: every value has its type and sense, or BadInput names it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from glassbox.errors import BadInput
from glassbox.spec import RotaryScaling
from glassbox.spec.model import LARGEST

T = TypeVar("T")


class Config:
    """The values of a config.json. `source` names it in errors."""

    def __init__(self, values: Mapping[str, Any], source: str = "config.json") -> None:
        self.values = values
        self.source = source

    def whole(self, name: str, default: int | None = None, *, least: int = 1, most: int = LARGEST) -> int:
        """A whole number; null counts as left out. Without a default it has to be there."""
        value = self._value(name, default)
        if type(value) is not int or not least <= value <= most:
            raise self._wrong(name, f"a whole number from {least} to {most:,}")
        return value

    def number(self, name: str, default: float | None = None, *, zero: bool = False) -> float:
        """A number above 0, or 0 where that makes sense."""
        value = self._value(name, default)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and (0 < value < math.inf or (zero and value == 0))):
            raise self._wrong(name, "a number, at least 0" if zero else "a number above 0")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def choice(self, name: str, choices: Mapping[str, T], default: str) -> T:
        """What one of their words means to us."""
        value = self._value(name, default)
        if not isinstance(value, str) or value not in choices:
            raise self._not_carried(name, value, f"one of {', '.join(choices)}")
        return choices[value]

    def demand(self, name: str, value: object) -> None:
        """The only value that Glassbox carries, where it is also theirs if left out."""
        found = self._value(name, value)
        if found != value:
            raise self._not_carried(name, found, f"{value}")

    def section(self, name: str) -> Config:
        """A nested object; one that is null or left out is empty."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return Config(value or {}, f"{name} in {self.source}")

    def _value(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        return default if value is None else value

    def _wrong(self, name: str, expected: str) -> BadInput:
        came = repr(self.values.get(name))[:60] if name in self.values else "nothing"
        return BadInput(
            f"{name} in {self.source} should be {expected}, and {came} came.",
            "Copy the folder again, or correct that value.",
        )

    def _not_carried(self, name: str, value: object, carried: str) -> BadInput:
        return BadInput(
            f"{name} in {self.source} is {value!r:.60}, which Glassbox doesn't carry: it carries {carried}.",
            "Choose a model without it.",
        )


ACTIVATIONS: Mapping[str, str] = {
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "relu": "relu", "relu2": "relu_squared", "silu": "silu", "swish": "silu",
}  # fmt: skip
"""Their words for activations -> ours; of several of theirs, the first is written."""

GATES: Mapping[str, str] = {
    "silu": "swiglu", "swish": "swiglu", "gelu": "geglu", "gelu_pytorch_tanh": "geglu_tanh", "gelu_new": "geglu_tanh",
}  # fmt: skip
"""The same, of a gated feed-forward network."""


def their_word(words: Mapping[str, str], ours: str) -> str:
    """The first of their words that means ours; where they have none, one that means something else."""
    return next((theirs for theirs, meaning in words.items() if meaning == ours), next(iter(words)))


ROTARY_NAMES = {
    "rope_type", "type", "rope_theta", "partial_rotary_factor", "factor", "original_max_position_embeddings",
    "high_freq_factor", "low_freq_factor",
}  # fmt: skip


def read_rotary(config: Config, fraction: float = 1.0) -> dict[str, Any]:
    """The spec's rotary fields, from `rope_parameters` (transformers 5) or what stood in its place before.

    fraction: of each head that is rotated, where nothing is said. Raises BadInput for scalings that we don't carry.
    """
    parameters = config.section("rope_parameters")
    scaling = parameters if parameters.values else config.section("rope_scaling")
    if unknown := scaling.values.keys() - ROTARY_NAMES:
        raise BadInput(
            f"{scaling.source} has {min(unknown)!r:.60}, which Glassbox doesn't carry.", "Choose a model without it."
        )
    # Before version 5 these two stood at the top; NeoX called them otherwise.
    base = config.number("rope_theta", config.number("rotary_emb_base", 10_000.0))
    share = config.number("partial_rotary_factor", config.number("rotary_pct", fraction))
    fields: dict[str, Any] = {
        "positions": "rotary",
        "rotary_base": parameters.number("rope_theta", base),
        "rotary_fraction": parameters.number("partial_rotary_factor", share),
    }
    kinds = {"default": None, "linear": "linear", "llama3": "llama3"}
    kind = scaling.choice("rope_type" if "rope_type" in scaling.values else "type", kinds, "default")
    if kind is not None:
        stretched: dict[str, Any] = {"kind": kind, "factor": scaling.number("factor")}
        if kind == "llama3":
            stretched["original_context"] = scaling.whole("original_max_position_embeddings")
            stretched["fast_turns"] = scaling.number("high_freq_factor")
            stretched["slow_turns"] = scaling.number("low_freq_factor")
        fields["rotary_scaling"] = stretched
    return fields


def write_rotary(base: float, scaling: RotaryScaling | None, fraction: float | None = None) -> dict[str, Any]:
    """`rope_parameters`, as transformers 5 writes them, and what stood in their place before, for older readers.

    fraction: of each head that is rotated; only where a family has one.
    """
    parameters: dict[str, Any] = {"rope_theta": base, "rope_type": "default"}
    if fraction is not None:
        parameters["partial_rotary_factor"] = fraction
    if scaling is not None:
        parameters |= {"rope_type": scaling.kind, "factor": scaling.factor}
        if scaling.kind == "llama3":
            parameters |= {
                "original_max_position_embeddings": scaling.original_context,
                "high_freq_factor": scaling.fast_turns,
                "low_freq_factor": scaling.slow_turns,
            }
    older = {"rope_theta": base, "rope_scaling": None if scaling is None else parameters}
    return {"rope_parameters": parameters, **older}
