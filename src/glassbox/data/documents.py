"""A document: a piece of text that is read on its own, and where it came from."""

from __future__ import annotations

from typing import NamedTuple

from glassbox.errors import BadInput

LARGEST_DOCUMENT = 256 * 2**20
"""Bytes of UTF-8 in one document at most: a document is held in memory whole."""


class Document(NamedTuple):
    """text: what a model learns from. source: a name that leads back to it, such as a file's path."""

    text: str
    source: str


def utf8_length(document: Document) -> int:
    """Bytes of the document's text in UTF-8.

    Raises BadInput for text that has no UTF-8 form (half of a surrogate pair, as JSON's \\ud800 gives).
    """
    text = document.text
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise BadInput(
            f"The document from {document.source} holds half of a surrogate pair (U+{ord(text[error.start]):04X}) at "
            f"character {error.start:,}, which is not valid Unicode text.",
            "Repair the text where it was exported, or leave this document out.",
        ) from None
