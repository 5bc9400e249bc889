"""A tokenizer in llama.cpp's words: the vocabulary, the merges, and by which known pattern text is split.

llama.cpp has its splitting patterns built in, each under a name. A tokenizer whose pattern isn't among those written
here is refused: with another one, the model would read other tokens than it was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glassbox.errors import BadInput
from glassbox.hub.gguf.file import Value
from glassbox.tokenizers import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # kinds of tokens

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS: Mapping[str, str] = {
    rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}": "smaug-bpe",  # GPT-4's, and Llama 3's but for `ignore_merges`
    rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}|{_REST}": "qwen2",
}
"""Regular expression of a Split -> llama.cpp's name for it."""


@dataclass(frozen=True)
class _Tokens:
    spellings: list[str]
    kinds: list[int]


def vocabulary(tokenizer: Tokenizer, size: int, chat_template: str | None) -> dict[str, Value]:
    """The `tokenizer.*` values. size: of the model's vocabulary, up to which unused tokens are added.

    Raises BadInput for a tokenizer that llama.cpp has no way to run.
    """
    content: dict[str, Any] = json.loads(tokenizer.to_tokenizer_json())
    model = content["model"]
    if model.get("type") != "BPE" or model.get("dropout") or model.get("continuing_subword_prefix"):
        raise _not_carried(f"its model is {model.get('type')}, and only byte pairs are")
    tokens = _tokens(content, size, pieces=bool(model.get("byte_fallback")))
    values: dict[str, Value] = {
        "tokenizer.ggml.tokens": tokens.spellings,
        "tokenizer.ggml.token_type": tokens.kinds,
        "tokenizer.ggml.add_bos_token": False,
    }
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    if model.get("byte_fallback"):
        values |= _sentence_piece(content, tokens, merges)
    else:
        values |= {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": _pattern(content),
            "tokenizer.ggml.merges": merges,
        }
    if tokenizer.end_of_text is not None:
        values |= dict.fromkeys(("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"), tokenizer.end_of_text)
    if chat_template is not None:
        values["tokenizer.chat_template"] = chat_template
    return values


def _tokens(content: Mapping[str, Any], size: int, *, pieces: bool) -> _Tokens:
    """Every id's spelling and kind; pieces: tokens such as <0x0A> are single bytes."""
    tokens = _Tokens([f"[UNUSED{id}]" for id in range(size)], [UNUSED] * size)
    for spelling, id in content["model"]["vocab"].items():
        tokens.spellings[id] = spelling
        is_byte = pieces and len(spelling) == 6 and spelling.startswith("<0x")
        tokens.kinds[id] = BYTE if is_byte else NORMAL
    for added in content.get("added_tokens") or []:
        tokens.spellings[added["id"]] = added["content"]
        tokens.kinds[added["id"]] = CONTROL if added.get("special") else USER_DEFINED
    unknown = content["model"].get("unk_token")
    if unknown in tokens.spellings:
        tokens.kinds[tokens.spellings.index(unknown)] = UNKNOWN
    return tokens


def _pattern(content: Mapping[str, Any]) -> str:
    """llama.cpp's name of the splitting of a byte-level tokenizer."""
    if content.get("normalizer") not in (None, {"type": "NFC"}):
        raise _not_carried("it changes text before splitting it")
    parts = content.get("pre_tokenizer") or {}
    steps: list[Any] = parts.get("pretokenizers", [parts])
    last = steps[-1]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        raise _not_carried("it isn't plainly byte-level")
    if len(steps) == 1 and last.get("use_regex", True):
        return "gpt-2"
    if len(steps) == 2 and steps[0].get("type") == "Split" and not last.get("use_regex", True):
        expression = str((steps[0].get("pattern") or {}).get("Regex"))
        whole = (steps[0].get("behavior"), steps[0].get("invert")) in (("Isolated", False), ("Removed", True))
        if whole and expression in PATTERNS:
            name = PATTERNS[expression]
            return "llama-bpe" if name == "smaug-bpe" and content["model"].get("ignore_merges") else name
    raise _not_carried("it splits text by a pattern that llama.cpp isn't known to have")


def _sentence_piece(content: Mapping[str, Any], tokens: _Tokens, merges: list[str]) -> dict[str, Value]:
    """Of a tokenizer that came from SentencePiece (Llama 2, Mistral): the earlier a token is merged, the higher it
    scores."""
    blank = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    prepend = {"type": "Prepend", "prepend": "▁"}
    splits = content.get("pre_tokenizer") or {"type": None}
    if content.get("normalizer") == {"type": "Sequence", "normalizers": [prepend, blank]} and splits["type"] is None:
        prefix = True
    elif content.get("normalizer") is None and splits["type"] == "Metaspace" and not splits.get("split", True):
        prefix = splits.get("prepend_scheme", "always") != "never"
    else:
        raise _not_carried("it treats blanks otherwise than SentencePiece does")
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        ranks.setdefault(merge.replace(" ", ""), rank)
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.scores": [-float(ranks.get(spelling, 0)) for spelling in tokens.spellings],
        "tokenizer.ggml.add_space_prefix": prefix,
    }


def _not_carried(why: str) -> BadInput:
    return BadInput(
        f"llama.cpp can't run this model's tokenizer: {why}.",
        "Export to Hugging Face's format, or train with a byte-pair tokenizer.",
    )
