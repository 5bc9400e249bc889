"""A model card: what a model is, what it learned from, how it was trained, how it measures up.

After Mitchell et al. (2019, "Model Cards for Model Reporting"). Everything on it was recorded when it happened or is
counted from the description; what nobody recorded isn't on it, and what only a person knows is their note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from glassbox.spec import ModelSpec, count_flops, count_parameters
from glassbox.spec.weights import PARTS

_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#"})
_LONGEST_VALUE = 200  # characters


@dataclass(frozen=True)
class Making:
    """The run that made it. settings: as they were asked for. seconds: of its last attempt, pauses included."""

    run: str
    stage: str
    code: str | None
    settings: Mapping[str, JsonValue]
    result: Mapping[str, JsonValue] | None
    attempts: int
    started: datetime | None
    ended: datetime | None

    @property
    def seconds(self) -> float | None:
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None


@dataclass(frozen=True)
class Source:
    """Something that it was made from, directly or not. facts: empty where they can't be seen."""

    kind: str
    reference: str
    facts: Mapping[str, JsonValue]


@dataclass(frozen=True)
class Measurement:
    """A report on it."""

    reference: str
    created: datetime
    facts: Mapping[str, JsonValue]


@dataclass(frozen=True)
class ModelCard:
    """All that is known of a model."""

    reference: str
    kind: str
    hash: str
    created: datetime
    bytes: int
    facts: Mapping[str, JsonValue]
    spec: ModelSpec | None
    note: str
    making: Making | None
    sources: tuple[Source, ...]
    measurements: tuple[Measurement, ...]

    def markdown(self) -> str:
        """The card to read, without any HTML; what came from outside is escaped, but for the note, which is theirs."""
        parts = [f"# {_plain(self.reference)}", self._head()]
        if self.note.strip():
            parts.append(self.note.strip())
        if self.spec is not None:
            parts += ["## The model", _shape(self.spec)]
        if self.facts:
            parts += ["## Recorded when it was made", _table(self.facts)]
        if self.sources:
            lines = [f"- {source.kind} **{_plain(source.reference)}**{_aside(source.facts)}" for source in self.sources]
            parts += ["## Made from", "\n".join(lines)]
        if self.making is not None:
            parts += ["## How it was made", *self._story(self.making)]
        for measured in self.measurements:
            parts += [f"## Measured: {_plain(measured.reference)}, {measured.created:%Y-%m-%d}", _table(measured.facts)]
        return "\n\n".join(parts) + "\n"

    def _head(self) -> str:
        return (
            f"A {self.kind} of {self.bytes:,} bytes, made {self.created:%Y-%m-%d %H:%M} UTC. SHA-256 of its files: "
            f"`{self.hash}`."
        )

    def _story(self, making: Making) -> list[str]:
        said = [f"By the run `{making.run}` of the stage {making.stage}"]
        if making.seconds is not None:
            said.append(f"in {making.seconds:,.0f} seconds")
        said.append(f"at attempt {making.attempts}" if making.attempts > 1 else "at the first attempt")
        code = "." if making.code is None else f", with the code version `{making.code}`."
        parts = [", ".join(said) + code]
        if making.settings:
            parts += ["What was asked for:", _table(making.settings)]
        if making.result:
            parts += ["What came of it:", _table(making.result)]
        return parts


def _shape(spec: ModelSpec) -> str:
    parameters, flops = count_parameters(spec), count_flops(spec)
    counted: dict[str, JsonValue] = {
        "parameters": parameters.total,
        "without embeddings": parameters.without_embeddings,
        "active per token": parameters.active,
        **{f"in {part}": parameters.by_part[part] for part in PARTS if parameters.by_part[part]},
        "FLOPs per token read": flops.forward,
    }
    chosen = spec.model_dump(mode="json", exclude_defaults=True)
    return _table(counted) + "\n\nIts description, where it isn't the default:\n\n" + _table(chosen)


def _table(values: Mapping[str, JsonValue]) -> str:
    rows = [f"| {_plain(name)} | {_value(value)} |" for name, value in _flat(values).items() if value is not None]
    return "\n".join(["| | |", "|---|---|", *rows])


def _flat(values: Mapping[str, JsonValue], prefix: str = "") -> dict[str, JsonValue]:
    """Nested objects with their names joined by dots."""
    found: dict[str, JsonValue] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _aside(facts: Mapping[str, JsonValue]) -> str:
    words = [f"{_plain(name)} {_value(value)}" for name, value in _flat(facts).items() if not isinstance(value, list)]
    return f" ({', '.join(words)})" if words else ""


def _value(value: JsonValue) -> str:
    return _plain(_words(value)[:_LONGEST_VALUE])  # cut first: half of an escape would escape what follows


def _words(value: JsonValue) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{int(value):,}" if value.is_integer() and abs(value) < 1e15 else f"{value:.5g}"
        case list():
            return ", ".join(map(_words, value))
        case _:
            return str(value)


def _plain(text: str) -> str:
    """On one line, with nothing in it that Markdown would take for a mark."""
    return " ".join(text.split()).translate(_MARKS)
