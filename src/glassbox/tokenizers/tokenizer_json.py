"""Byte-pair merges to Hugging Face's `tokenizer.json` and back, without that library.

The file describes a pipeline of which ours is one special case: no normaliser, GPT-2's or GPT-4's splitting, the byte
alphabet, merges, special tokens after everything else. `read` refuses any other file rather than to read it wrong;
`huggingface.HuggingFaceTokenizer` reads those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glassbox.errors import BadInput
from glassbox.tokenizers.byte_alphabet import BYTES_BY_ID, to_symbols
from glassbox.tokenizers.splitting import GPT2, PATTERNS, SplittingPattern

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


@dataclass(frozen=True)
class BytePairParts:
    """All that makes a byte-pair tokenizer."""

    merges: list[tuple[int, int]]
    pattern: SplittingPattern
    special_tokens: list[str]


def base_symbols() -> list[str]:
    """The symbols of the 256 single bytes, by id."""
    return [to_symbols(bytes([byte])) for byte in BYTES_BY_ID]


def write(parts: BytePairParts) -> dict[str, Any]:
    """The content of a tokenizer.json that gives the same ids in Hugging Face's library."""
    symbols = base_symbols()
    merges: list[list[str]] = []
    for left, right in parts.merges:
        merges.append([symbols[left], symbols[right]])
        symbols.append(symbols[left] + symbols[right])
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added_token(id, spelling) for id, spelling in enumerate(parts.special_tokens, start=len(symbols))
        ],
        "normalizer": None,
        "pre_tokenizer": _pre_tokenizer(parts.pattern),
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {symbol: id for id, symbol in enumerate(symbols)},
            "merges": merges,
        },
    }


def write_characters(characters: Mapping[str, int], special_tokens: Mapping[str, int]) -> dict[str, Any]:
    """The content of a tokenizer.json whose tokens are characters, each by its id; it fails at any other character."""
    any_one = {"Regex": r"[\s\S]"}  # a dot leaves line feeds out
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(id, spelling) for spelling, id in special_tokens.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": any_one, "behavior": "Isolated", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": dict(characters), "unk_token": "<unk>"},
    }


def _added_token(token: int, spelling: str) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": token, "content": spelling, **flags}


def _pre_tokenizer(pattern: SplittingPattern) -> dict[str, Any]:
    if pattern is GPT2:  # Hugging Face's own code for it, twice as fast as a Split
        return {**_BYTE_LEVEL, "use_regex": True}
    split = {"type": "Split", "pattern": {"Regex": pattern.expression}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, _BYTE_LEVEL]}


def read(content: Mapping[str, Any], source: str) -> BytePairParts:
    """The parts of a byte-pair tokenizer in a tokenizer.json.

    Raises BadInput, naming `source`, if the file is damaged or describes a tokenizer that isn't just those parts.
    """
    try:
        return _read(content)
    except _Different as difference:
        raise BadInput(
            f"{source} isn't a byte-level BPE tokenizer as Glassbox writes it: {difference}.",
            "Load it as a Hugging Face tokenizer, or save the original again if it is damaged.",
        ) from None


class _Different(Exception):  # noqa: N818  (never seen outside this file)
    """What in a tokenizer.json is wrong, or beyond what our parts can say."""


def _read(content: Mapping[str, Any]) -> BytePairParts:
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        raise _Different("its model isn't BPE")
    for name in (
        "dropout",
        "unk_token",
        "continuing_subword_prefix",
        "end_of_word_suffix",
        "byte_fallback",
        "ignore_merges",
    ):
        if model.get(name):
            raise _Different(f"its model sets {name}")
    for name in ("normalizer", "truncation", "padding"):
        if content.get(name) is not None:
            raise _Different(f"it has a {name}")
    for name, required in (("post_processor", False), ("decoder", True)):
        part = content.get(name)
        if (part is not None or required) and not (isinstance(part, dict) and part.get("type") == "ByteLevel"):
            raise _Different(f"its {name} isn't ByteLevel")
    pattern = _read_pattern(content.get("pre_tokenizer"))
    vocabulary, merges = model.get("vocab"), model.get("merges")
    if not isinstance(vocabulary, dict) or not isinstance(merges, list):
        raise _Different("its vocabulary or its list of merges is missing")
    pairs, symbols = _read_merges(merges)
    special_tokens = _read_special_tokens(content.get("added_tokens"), first=len(symbols))
    expected = {symbol: id for id, symbol in enumerate(symbols)}
    # Some writers list the special tokens in the vocabulary too.
    with_special = {**expected, **{spelling: id for id, spelling in enumerate(special_tokens, start=len(symbols))}}
    if vocabulary not in (expected, with_special):
        raise _Different("its vocabulary isn't the 256 bytes in GPT-2's order followed by one token for each merge")
    return BytePairParts(pairs, pattern, special_tokens)


def _read_pattern(pre_tokenizer: object) -> SplittingPattern:
    for pattern in PATTERNS.values():
        if _essence(pre_tokenizer) == _essence(_pre_tokenizer(pattern)):
            return pattern
    raise _Different(f"it splits text neither by the pattern {' nor by '.join(PATTERNS)}")


def _essence(part: Any) -> Any:
    """A pre-tokenizer without what has nothing to do with ids, and with what older files leave to the default."""
    if isinstance(part, list):
        return [_essence(element) for element in part]
    if not isinstance(part, dict):
        return part
    defaults = {"use_regex": True} if part.get("type") == "ByteLevel" else {}
    return defaults | {name: _essence(value) for name, value in part.items() if name != "trim_offsets"}


def _read_merges(merges: Sequence[object]) -> tuple[list[tuple[int, int]], list[str]]:
    """The merges as pairs of ids, and the symbols of all ordinary tokens by id."""
    symbols = base_symbols()
    ids = {symbol: id for id, symbol in enumerate(symbols)}
    pairs: list[tuple[int, int]] = []
    for number, merge in enumerate(merges):
        pair = merge.split(" ") if isinstance(merge, str) else merge  # "a b" in files from before 2024
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise _Different(f"merge {number} isn't a pair of tokens")
        left, right = pair
        if left not in ids or right not in ids:
            raise _Different(
                f"merge {number} joins {left!r} and {right!r}, of which one isn't made by an earlier merge"
            )
        if left + right in ids:
            raise _Different(f"merge {number} makes {left + right!r} for the second time")
        pairs.append((ids[left], ids[right]))
        ids[left + right] = len(symbols)
        symbols.append(left + right)
    return pairs, symbols


def _read_special_tokens(added: object, first: int) -> list[str]:
    if not isinstance(added, list):
        raise _Different("its list of added tokens is damaged")
    spellings: list[str] = []
    for token in added:
        spelling = token.get("content") if isinstance(token, dict) else None
        if not isinstance(spelling, str):
            raise _Different("its list of added tokens is damaged")
        if not token.get("special") or any(token.get(flag) for flag in ("single_word", "lstrip", "rstrip")):
            raise _Different(f"its added token {spelling!r} isn't a plain special token")
        if token.get("id") != first + len(spellings):
            raise _Different(f"its added token {spelling!r} has the id {token.get('id')}, not {first + len(spellings)}")
        spellings.append(spelling)
    return spellings
