"""The tokenizer of a model on its way in and out: tokenizer.json, its settings, and the template of a chat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput
from glassbox.hub.folder import CHAT_TEMPLATE, GENERATION_CONFIG, TOKENIZER, TOKENIZER_CONFIG, Folder
from glassbox.hub.strict_json import read_object
from glassbox.tokenizers import Tokenizer
from glassbox.tokenizers.huggingface import HuggingFaceTokenizer


def read_tokenizer(folder: Folder, vocabulary_size: int) -> Tokenizer | None:
    """The tokenizer of a Hugging Face folder, or None if it has no tokenizer.json.

    Raises BadInput for a damaged one and for one that makes ids which the model's vocabulary hasn't.
    """
    path = folder.file(TOKENIZER)
    if path is None:
        return None
    tokenizer = HuggingFaceTokenizer.from_tokenizer_json(path)
    if tokenizer.vocabulary_size > vocabulary_size:
        raise BadInput(
            f"{path} makes {tokenizer.vocabulary_size:,} ids, and the model beside it knows {vocabulary_size:,}.",
            "Copy the tokenizer and the weights from the same model.",
        )
    return tokenizer


def read_chat_template(folder: Folder) -> str | None:
    """The template that makes one text of the messages of a chat: a file of its own, or a tokenizer's setting.

    It is kept as text; nothing is run. Raises BadInput for one that isn't text.
    """
    if path := folder.file(CHAT_TEMPLATE):
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{path} can't be read: {error}.", "Copy the folder again.") from None
    path = folder.file(TOKENIZER_CONFIG)
    template = None if path is None else read_object(path).get("chat_template")
    if isinstance(template, list):  # several by name; the one for plain chats is called default
        templates = [each for each in template if isinstance(each, dict)]
        template = next((each.get("template") for each in templates if each.get("name") == "default"), None)
    if template is not None and not isinstance(template, str):
        raise BadInput(f"chat_template in {path} should be text.", "Copy the folder again.")
    return template


def keep_tokenizer(tokenizer: Tokenizer, chat_template: str | None, folder: Path) -> None:
    """Write both into a new folder of a model of ours. Raises OSError."""
    folder.mkdir()
    tokenizer.save(folder)
    if chat_template is not None:
        (folder / CHAT_TEMPLATE).write_text(chat_template, encoding="utf-8")


def kept_chat_template(folder: Path) -> str | None:
    """The template in a tokenizer's folder of ours, if it has one."""
    path = folder / CHAT_TEMPLATE
    return path.read_text(encoding="utf-8") if path.is_file() else None


def write_tokenizer(
    tokenizer: Tokenizer, chat_template: str | None, into: Path, theirs: Mapping[str, dict[str, Any]], context: int
) -> None:
    """Write what `AutoTokenizer` reads. theirs: files that the model was imported with, by name, which are kept.

    Raises BadInput for a tokenizer that no tokenizer.json can express, and OSError.
    """
    (into / TOKENIZER).write_text(tokenizer.to_tokenizer_json(), encoding="utf-8")
    own: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
    }
    ids: dict[str, Any] = {}
    for spelling, id in tokenizer.special_tokens.items():
        if id == tokenizer.end_of_text:
            own |= {"bos_token": spelling, "eos_token": spelling}
            ids = {"bos_token_id": id, "eos_token_id": id}
    _write(into / TOKENIZER_CONFIG, theirs.get(TOKENIZER_CONFIG, own))
    _write(into / GENERATION_CONFIG, theirs.get(GENERATION_CONFIG, ids))
    if chat_template is not None:
        (into / CHAT_TEMPLATE).write_text(chat_template, encoding="utf-8")


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
