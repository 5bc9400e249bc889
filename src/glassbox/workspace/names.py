"""The names by which a person calls artifacts: kinds, names, versions, and references such as `shakespeare:3`.

A name becomes a folder's name, so it is kept to what every file system agrees on: lower-case ASCII letters, digits,
dots, dashes and underscores. That leaves no room for path tricks, look-alike letters or names that differ in case only.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, get_args

from glassbox.errors import BadInput

Kind = Literal["corpus", "dialogues", "preferences", "tokenizer", "shards", "model", "adapter", "report", "flow"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LONGEST_NAME = 80

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", re.ASCII)
_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True)
class Reference:
    """An artifact as a person names it: `name` means the newest version, `name:3` exactly that one."""

    name: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises BadInput unless `text` is NAME or NAME:VERSION."""
        name, colon, version = text.partition(":")
        check_name(name)
        if not colon:
            return cls(name)
        if not _VERSION.fullmatch(version):
            raise BadInput(
                f"A version is a whole number from 1, and {shown(version)} came after the colon.",
                f"Write {name}:1, or {name} alone for the newest version.",
            )
        return cls(name, int(version))

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}:{self.version}"


def check_kind(text: str) -> Kind:
    """Raises BadInput unless `text` is one of the kinds of artifact."""
    for kind in KINDS:
        if text == kind:
            return kind
    raise BadInput(f"There is no kind of artifact called {shown(text)}.", f"Use one of: {', '.join(KINDS)}.")


def check_name(text: str) -> str:
    """Raises BadInput unless `text` can name an artifact."""
    if not text:
        raise BadInput("A name is needed, and it came empty.", "Give a name such as shakespeare.")
    if len(text) > LONGEST_NAME:
        raise BadInput(
            f"A name has at most {LONGEST_NAME} characters, and one of {len(text)} came.", "Give a shorter name."
        )
    if not _NAME.fullmatch(text):
        raise BadInput(
            f"A name is made of a-z, 0-9 and . _ - between them, and {shown(text)} came.",
            f"Try {name_from(text)}.",
        )
    return text


def name_from(text: str) -> str:
    """The nearest valid name to any text, such as a title: `Tiny Shakespeare.txt` gives `tiny-shakespeare.txt`."""
    if len(text) <= LONGEST_NAME and _NAME.fullmatch(text):
        return text
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    joined = re.sub(r"[^a-z0-9._]+", "-", plain)
    return joined[:LONGEST_NAME].strip("._-") or "unnamed"


def shown(text: str, longest: int = 60) -> str:
    """Text that came from outside, safe to print inside a sentence: quoted, escaped, cut."""
    cut = text if len(text) <= longest else text[:longest] + "…"
    return ascii(cut) if any(not character.isprintable() for character in cut) else repr(cut)
