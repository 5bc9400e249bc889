r"""Split text into the pieces that byte-pair merges never cross: roughly words, numbers, punctuation, blanks.

Without it, BPE would spend its vocabulary on "dog.", "dog!" and "dog?" (GPT-2 paper, section 2.2). The pieces of a
text, put together again, are always the whole text.

`regex` learns new letters with every Unicode version, and the libraries that we agree with (`tiktoken`, `tokenizers`)
learn them at other times. A tokenizer must not change with a library's release, so letters and digits here are those of
Unicode 16; younger ones count as neither, as in a program that has never heard of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import regex

from glassbox.errors import BadInput


@dataclass(frozen=True)
class SplittingPattern:
    """A named way to split text, as a regular expression in the dialect that `regex`, Rust and Oniguruma share."""

    name: str
    expression: str

    @cached_property
    def _compiled(self) -> regex.Pattern[str]:
        return regex.compile(self.expression)

    def split(self, text: str) -> list[str]:
        """The pieces of `text`, in order; "".join(pieces) == text."""
        if text.isascii() or not _YOUNG.search(text):
            return self._compiled.findall(text)
        masked = _YOUNG.sub(_NO_LETTER, text)  # one character for one, so that places stay the same
        return [text[match.start() : match.end()] for match in self._compiled.finditer(masked)]


GPT2 = SplittingPattern(
    "gpt2",
    # https://github.com/openai/gpt-2/blob/master/src/encoder.py: contractions; words, numbers and the rest, each with
    # the space before it; blanks, of which the last one is left to the word that follows.
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
)

GPT4 = SplittingPattern(
    "gpt4",
    # cl100k_base, https://github.com/openai/tiktoken/blob/main/tiktoken_ext/openai_public.py: contractions in capitals
    # too, numbers in groups of at most three digits, punctuation with the line breaks after it, line breaks apart.
    # This is its first form, which Hugging Face's copies of GPT-4's tokenizer have; tiktoken's present one differs from
    # it in blanks at the very end of a text.
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
)

PATTERNS = {pattern.name: pattern for pattern in (GPT2, GPT4)}


def pattern_named(name: str) -> SplittingPattern:
    """The splitting pattern of that name. Raises BadInput for an unknown one."""
    if name not in PATTERNS:
        raise BadInput(f"There is no splitting pattern {name!r}.", f"Choose one of {', '.join(PATTERNS)}.")
    return PATTERNS[name]


# Letters and numbers of Unicode 17 and 18 that Unicode 16 doesn't have, as first-last in hexadecimal.
# tests/tokenizers/test_splitting.py compares all 1.1 million characters with both libraries and names what is missing.
_YOUNGER_THAN_UNICODE_16 = """
    558 58B-58C 88F C5C CDC 208F 209D-209F A7CE-A7CF A7D2 A7D4 A7DD A7E2 A7F1 AB6C-AB6D 107BB-107BF 10940-10959
    10EC5-10EC7 10ED9-10EEE 11B0A 11DB0-11DDB 11DE0-11DE9 11DF1 1246F 12475-1247F 12550-12686 16EA0-16EB8 16EBB-16ED3
    16FF2-16FF6 187F8-187FF 18CD6-18CDA 18D09-18D20 18D80-18DF2 18E00-19191 191A0-191D2 1B123-1B128 1B168 1D6A6
    1DF1F-1DF24 1DF2B-1DF81 1DF90-1DF96 1DFCD-1DFFF 1E6C0-1E6DE 1E6E0-1E6E2 1E6E4-1E6E5 1E6E7-1E6ED 1E6F0-1E6F4
    1E6FE-1E6FF 2B73A-2B73F 2B81E 2CEA2-2CEAD 323B0-33479 3D000-3FC3F
"""
_NO_LETTER = "\uffff"  # a noncharacter: no Unicode version will ever make it a letter, a number or a blank


def _character_class(ranges: str) -> re.Pattern[str]:
    ends = [part.partition("-") for part in ranges.split()]
    return re.compile("[" + "".join(f"{chr(int(a, 16))}-{chr(int(b or a, 16))}" for a, _, b in ends) + "]")


_YOUNG = _character_class(_YOUNGER_THAN_UNICODE_16)  # `re`, because it finds a rare character faster than `regex`
