"""One option for each field of a stage's settings, with its description, default and bounds; and the way back.

The command line takes every value as text, and pydantic, which knows the bounds, makes it a number, a path, a choice:
so the bounds stand in one place, and an error names the option.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from glassbox.cli.numbers import number
from glassbox.errors import BadInput
from glassbox.workspace.names import shown

_Settings = TypeVar("_Settings", bound=BaseModel)
_TYPE_WORDS = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}


@dataclass(frozen=True)
class SettingOption:
    """A field as an option. Fields of a nested model are joined by dashes: `--model-width`."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def flag(self) -> str:
        """`--vocabulary-size`"""
        return "--" + "-".join(part.replace("_", "-") for part in self.path)

    @property
    def declaration(self) -> str:
        """As Typer wants it: with the opposite, if it is yes or no."""
        return f"{self.flag}/--no{self.flag[1:]}" if self.is_switch else self.flag

    @property
    def is_switch(self) -> bool:
        return _without_none(self.field.annotation) is bool

    @property
    def is_repeated(self) -> bool:
        return get_origin(_without_none(self.field.annotation)) in (list, tuple, set, frozenset)

    @property
    def metavar(self) -> str | None:
        """INTEGER, NUMBER, TEXT, PATH or CHOICE."""
        return None if self.is_switch else _type_word(_without_none(self.field.annotation))

    @property
    def help(self) -> str:
        """Description, choices, bounds and default."""
        default = "[required]" if self.default is None else f"[default: {self.default}]" if self.default else ""
        choices = _choices(_without_none(self.field.annotation))
        one_of = f"One of {', '.join(choices)}." if choices else ""
        return " ".join(part for part in (self.field.description, one_of, _bounds(self.field), default) if part)

    @property
    def default(self) -> str | None:
        """The default as it is typed, or None if there is none."""
        value = self.field.get_default(call_default_factory=True)
        if value is PydanticUndefined:
            return None
        if value is None:  # of several values nobody can type none; what happens without them, the description says
            return "" if self.is_repeated else "none"
        if self.is_switch:
            return self.flag[2:] if value else f"no-{self.flag[2:]}"
        return " ".join(map(str, value)) or "none" if self.is_repeated else str(value)


def setting_options(settings: type[BaseModel]) -> list[SettingOption]:
    """Every field in the order of the class, fields of nested models in their place."""
    return list(_options(settings, ()))


def read_settings(settings: type[_Settings], values: Mapping[tuple[str, ...], Any], command: str) -> _Settings:
    """Settings from the options that were given, each by its path. Raises BadInput that names every wrong option."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        branch = tree
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
        branch[path[-1]] = None if value == "none" and _takes_none(settings, path) else value
    try:
        return settings.model_validate(tree)
    except ValidationError as error:
        sentences = [_complaint(dict(one)) for one in error.errors()]
        hints = [hint for one in error.errors() if (hint := _hint(dict(one)))]
        raise BadInput(
            " ".join(sentences), hints[0] if hints else f"See what each option takes: {command} --help."
        ) from error


def _options(settings: type[BaseModel], path: tuple[str, ...]) -> Iterator[SettingOption]:
    for name, field in settings.model_fields.items():
        inner = _without_none(field.annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _options(inner, (*path, name))
        else:
            yield SettingOption((*path, name), field)


def _without_none(annotation: Any) -> Any:
    """`int` for `int | None`; anything else as it is."""
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [one for one in get_args(annotation) if one is not type(None)]
        return rest[0] if len(rest) == 1 else annotation
    return annotation


def _takes_none(settings: type[BaseModel], path: tuple[str, ...]) -> bool:
    """Whether `none` means None there: the field allows it, and has no choice of that name."""
    field = next(option.field for option in setting_options(settings) if option.path == path)
    return type(None) in get_args(field.annotation) and "none" not in _choices(field.annotation)


def _type_word(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return "CHOICE"
    if origin in (Union, types.UnionType):
        words = [_type_word(one) for one in get_args(annotation) if one is not type(None)]
        return "|".join(dict.fromkeys(words))
    if origin in (list, tuple, set, frozenset):
        return _type_word(get_args(annotation)[0])
    if origin is Annotated:
        return _type_word(get_args(annotation)[0])
    return _TYPE_WORDS.get(annotation, "TEXT")


def _choices(annotation: Any) -> list[str]:
    """The words of a Literal, wherever it stands in the annotation."""
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    return [choice for one in get_args(annotation) for choice in _choices(one)]


def _bounds(field: FieldInfo) -> str:
    """`At least 1, at most 65,536.` from what pydantic checks."""
    found: dict[str, Any] = {}
    for one in field.metadata:
        for name in ("gt", "ge", "lt", "le"):
            if getattr(one, name, None) is not None:
                found[name] = getattr(one, name)
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    sentence = ", ".join(f"{words[name]} {_bound(found[name])}" for name in words if name in found)
    return sentence[:1].upper() + sentence[1:] + "." if sentence else ""


def _bound(value: Any) -> str:
    power = value.bit_length() - 1 if isinstance(value, int) and value > 2**53 else 0
    return f"2^{power}" if power and value == 1 << power else number(value)


def _complaint(error: dict[str, Any]) -> str:
    """One sentence: what was expected, and what came."""
    flag = "--" + "-".join(str(part).replace("_", "-") for part in error["loc"] if isinstance(part, str))
    came, context = shown(str(error["input"])), error.get("ctx", {})
    match error["type"]:
        case "missing":
            return f"{flag} is needed."
        case "value_error" | "assertion_error":
            message = str(context.get("error", error["msg"]))
            return f"{flag + ': ' if error['loc'] else ''}{message}" + ("" if message.endswith(".") else ".")
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
            expected = next(f"{words[name]} {_bound(bound)}" for name, bound in context.items() if name in words)
            return f"{flag} takes a number {expected}, and {came} came."
        case "int_parsing" | "int_from_float" | "int_type" | "int_parsing_size":
            return f"{flag} takes a whole number, and {came} came."
        case "float_parsing" | "float_type" | "finite_number":
            return f"{flag} takes a number, and {came} came."
        case "literal_error":
            return f"{flag} takes one of {context['expected']}, and {came} came."
        case _:
            return f"{flag}: {error['msg'][:1].lower() + error['msg'][1:]}, and {came} came."


def _hint(error: dict[str, Any]) -> str | None:
    """For a choice that was nearly right."""
    if error["type"] != "literal_error":
        return None
    choices = [part.strip("' ") for part in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
    near = get_close_matches(str(error["input"]), choices, n=1)
    return f"Did you mean {near[0]}?" if near else None
