"""Text that isn't UTF-8: read as what a person says it is, and guessed only to say what it might be."""

from __future__ import annotations

import codecs
import io
from typing import BinaryIO, Literal, get_args

from glassbox.errors import BadInput

Encoding = Literal[
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "iso-8859-2", "iso-8859-15", "cp1250", "cp1251",
    "cp1252", "koi8-r", "shift_jis", "euc_jp", "euc_kr", "gb18030", "big5",
]  # fmt: skip
"""Names as Python has them. utf-16 and utf-32 tell by their first bytes in which order the others come."""

SAMPLE = 2**16
"""Bytes that a guess is made from."""


def transcoded(stream: BinaryIO, encoding: Encoding, name: str) -> BinaryIO:
    """The same text as UTF-8. Raises BadInput, while it is read, at the byte where it isn't of that encoding."""
    return io.BufferedReader(_Transcoded(stream, encoding, name))


def likely_encoding(sample: bytes) -> Encoding | None:
    """What bytes that aren't UTF-8 look like most, or None."""
    from charset_normalizer import from_bytes

    known = {codecs.lookup(encoding).name: encoding for encoding in get_args(Encoding) if encoding != "utf-8"}
    best = from_bytes(sample[:SAMPLE], cp_isolation=list(known)).best()
    return None if best is None else known.get(codecs.lookup(best.encoding).name)


class _Transcoded(io.RawIOBase):
    def __init__(self, stream: BinaryIO, encoding: Encoding, name: str) -> None:
        self._stream, self._encoding, self._name = stream, encoding, name
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = memoryview(b"")
        self._offset = 0  # of the next byte that is read
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]  (RawIOBase says Buffer)
        while not self._ready and not self._ended:
            data = self._stream.read(SAMPLE)
            self._ended = not data
            self._ready = memoryview(self._decode(data).encode())
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _decode(self, data: bytes) -> str:
        held = len(self._decoder.getstate()[0])  # the beginning of a character from the piece before
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{self._name} is not {self._encoding} text: byte {self._offset - held + error.start:,} can't be: "
                f"{error.reason}.",
                "Name another encoding, or leave it out if it is binary.",
            ) from None
        except UnicodeError:
            raise BadInput(
                f"{self._name} doesn't begin as {self._encoding} text does, with a byte order mark.",
                "Name the encoding with its byte order, such as utf-16-le.",
            ) from None
        self._offset += len(data)
        return text
