"""Loading a tokenizer from a folder, whole, damaged or none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glassbox.errors import BadInput
from glassbox.tokenizers import load
from glassbox.tokenizers.bytepair import BytePairTokenizer
from glassbox.tokenizers.huggingface import HuggingFaceTokenizer


def test_a_folder_with_nothing_but_a_tokenizer_json_is_read_by_hugging_faces_library(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(BytePairTokenizer([]).to_tokenizer_json())
    assert isinstance(load(tmp_path), HuggingFaceTokenizer)


def test_a_folder_without_a_tokenizer_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no tokenizer"):
        load(tmp_path)
    with pytest.raises(BadInput, match="holds no tokenizer"):
        load(tmp_path / "missing")


@pytest.mark.parametrize("kind", ["minbpe", None, 7, ["bytepair"]])
def test_an_unknown_type_is_bad_input_that_names_the_known_ones(tmp_path: Path, kind: object) -> None:
    (tmp_path / "glassbox.json").write_text(json.dumps({"type": kind}))
    with pytest.raises(BadInput, match="bytepair, characters, digits or huggingface"):
        load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe{}", b"[]", b"null", b"[" * 100_000, b'{"type": "bytepair"' + b"\x00" * 10],
    ids=["empty", "cut", "not UTF-8", "a list", "null", "deep", "binary"],
)
@pytest.mark.parametrize(
    ("kind", "name"),
    [("bytepair", "glassbox.json"), ("bytepair", "tokenizer.json"), ("huggingface", "tokenizer.json")],
)
def test_a_file_that_is_no_json_object_is_bad_input(tmp_path: Path, kind: str, name: str, content: bytes) -> None:
    (tmp_path / "glassbox.json").write_text(json.dumps({"type": kind}))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["bytepair", "huggingface"])
def test_a_missing_tokenizer_json_is_bad_input(tmp_path: Path, kind: str) -> None:
    (tmp_path / "glassbox.json").write_text(json.dumps({"type": kind}))
    with pytest.raises(BadInput, match="No such file"):
        load(tmp_path)
