"""Load a saved tokenizer of any kind.

A saved tokenizer is a folder. `glassbox.json` says its kind; a folder with nothing but a `tokenizer.json`, such as one
downloaded from the Hugging Face hub, is read by Hugging Face's library.
"""

from __future__ import annotations

from pathlib import Path

from glassbox.errors import BadInput
from glassbox.tokenizers.interface import Tokenizer
from glassbox.tokenizers.saved_files import DESCRIPTION, TOKENIZER_JSON, read_json_object


def load(folder: Path) -> Tokenizer:
    """The tokenizer that was saved into `folder`. Raises BadInput if there is none, or it is damaged."""
    if (folder / DESCRIPTION).is_file():
        description = read_json_object(folder / DESCRIPTION)
        kind = description.get("type")
    elif (folder / TOKENIZER_JSON).is_file():
        description, kind = {}, "huggingface"
    else:
        raise BadInput(
            f"{folder} holds no tokenizer: neither {DESCRIPTION} nor {TOKENIZER_JSON} is there.",
            "Name a folder written by `glassbox train-tokenizer`, or one with a Hugging Face tokenizer.json.",
        )
    # Each kind is imported only when it is needed, so that reading characters doesn't wait for Hugging Face's library.
    if kind == "bytepair":
        from glassbox.tokenizers.bytepair import BytePairTokenizer

        return BytePairTokenizer.from_tokenizer_json(folder / TOKENIZER_JSON)
    if kind == "characters":
        from glassbox.tokenizers.characters import CharacterTokenizer

        return CharacterTokenizer.from_description(description, folder / DESCRIPTION)
    if kind == "digits":
        from glassbox.tokenizers.digits import DigitTokenizer

        return DigitTokenizer.from_description(description, folder / DESCRIPTION)
    if kind == "huggingface":
        from glassbox.tokenizers.huggingface import HuggingFaceTokenizer

        return HuggingFaceTokenizer.from_tokenizer_json(folder / TOKENIZER_JSON)
    raise BadInput(
        f"{folder / DESCRIPTION} should name the type bytepair, characters, digits or huggingface, not {kind!r}.",
        "Save the tokenizer again, or use the version of Glassbox that wrote it.",
    )
