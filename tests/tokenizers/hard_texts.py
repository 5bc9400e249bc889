"""A small text of many kinds to train on, and texts that are hard to tokenize."""

from __future__ import annotations

from hypothesis import strategies as st

CORPUS = [
    "The quick brown fox jumps over the lazy dog; the dog didn't mind, and they'LL say the fox wasn't QUICK.\n" * 3,
    "def add(first, second):\n    return first + second\n\n\nprint(add(1234567, 89))  # 1234656\n",
    "Größe, naïve café, Ångström, Привет мир, Ελληνικά, שלום עולם, مرحبا بالعالم, नमस्ते",
    "你好，世界。こんにちは世界 안녕하세요",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1fa\U0001f1f3 e\u0301 \u200b \u3000 \x85 \x1c x² ½ Ⅷ ٣",
    "it's IT'S 'ſ {}[]()<>!!!???...---===***\r\n\t \r\n  \n<|endoftext|> < | endoftext | >",
    "aaaaaaa aaaa aaaaa aaaaaaaaaaaaaaa abababab babababab aabaabaab abcabcabc\n",
]

WORDS = sorted({word for document in CORPUS for word in document.split(" ")})

TRICKY = (
    " \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u1680\u2028\u2029\u3000\u200b\ufeff"  # blanks, and some that look like blanks
    "aAbBsStTzZ'’lLvVeErRmMdDſK"  # contractions, in all cases that fold to them
    '019²½٣Ⅷ.,!-_<|>{}\\"\x00\x7f'  # numbers, punctuation, control characters
    "éßÅ\u0301\u0558\u088f中の한\U0001f600\U0001f1fa\U0001e923\U0002b73a\U0010ffff\uffff\ufffd"  # young and old letters
)


def texts() -> st.SearchStrategy[str]:
    """Any Unicode text; text of characters that splitting treats specially; text of words that have merges."""
    return st.one_of(
        st.text(),
        st.text(st.sampled_from(TRICKY)),
        st.lists(st.sampled_from([*WORDS, *TRICKY, " ", "  ", "\n\n"])).map("".join),
        st.text(st.sampled_from("ab ")),
    )
