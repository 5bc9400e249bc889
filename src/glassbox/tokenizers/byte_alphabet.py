"""The 256 bytes: their order in a vocabulary, and a printable symbol for each.

A `tokenizer.json` is text, so every byte needs a symbol that can be printed. GPT-2 gave the 188 printable Latin-1
characters to themselves and counted the other 68 up from U+0100: a space is "Ġ", a newline "Ċ"
(`bytes_to_unicode` in https://github.com/openai/gpt-2/blob/master/src/encoder.py).

It also put them in that order: byte 33 ("!") has id 0, byte 0 has id 188. We keep GPT-2's order because Hugging Face's
trainer has it too, and breaks ties between equally frequent pairs by their ids: the same order gives the same merges.
"""

from __future__ import annotations

_PRINTABLE = (*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1))

BYTES_BY_ID = bytes([*_PRINTABLE, *(byte for byte in range(256) if byte not in _PRINTABLE)])
"""BYTES_BY_ID[id] is the byte."""

IDS_BY_BYTE = bytes(BYTES_BY_ID.index(byte) for byte in range(256))
"""IDS_BY_BYTE[byte] is the id; `data.translate(IDS_BY_BYTE)` turns bytes into ids."""

_SYMBOLS = "".join(map(chr, (*_PRINTABLE, *range(256, 256 + 256 - len(_PRINTABLE)))))  # by id
_SYMBOL_OF_LATIN_1 = {byte: _SYMBOLS[IDS_BY_BYTE[byte]] for byte in range(256)}
_BYTE_OF_SYMBOL = {symbol: byte for byte, symbol in _SYMBOL_OF_LATIN_1.items()}


def to_symbols(data: bytes) -> str:
    """The bytes as printable symbols, one for each byte: b" the" becomes "Ġthe"."""
    return data.decode("latin-1").translate(_SYMBOL_OF_LATIN_1)


def from_symbols(symbols: str) -> bytes:
    """The bytes behind printable symbols. Raises KeyError for a character that is no byte's symbol."""
    return bytes(_BYTE_OF_SYMBOL[symbol] for symbol in symbols)
