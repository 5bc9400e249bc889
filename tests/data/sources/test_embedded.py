"""Corpora that need no network: every Python has them, and they read like text."""

from __future__ import annotations

import ast
import inspect
import pydoc_data.topics
import re
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from glassbox.data.documents import Document
from glassbox.data.sources import embedded
from glassbox.errors import BadInput


@pytest.fixture(scope="module")
def docs_and_imports() -> tuple[dict[str, str], set[str]]:
    """The documents by their sources, and the modules that were imported on the way."""
    before = set(sys.modules)
    documents = {document.source: document.text for document in embedded.python_docs()}
    return documents, set(sys.modules) - before


@pytest.fixture(scope="module")
def docs(docs_and_imports: tuple[dict[str, str], set[str]]) -> dict[str, str]:
    return docs_and_imports[0]


@pytest.fixture(scope="module")
def source() -> dict[str, str]:
    return {document.source: document.text for document in embedded.python_source()}


def test_python_docs_hold_the_whole_language_reference(docs: dict[str, str]) -> None:
    for name, text in pydoc_data.topics.topics.items():
        assert docs[f"python/reference/{name}"] == text.strip()


def test_python_docs_hold_the_docstrings_as_help_shows_them(docs: dict[str, str]) -> None:
    import textwrap

    text = docs["python/docstrings/textwrap"]
    assert text.startswith(f"module textwrap\n\n{ast.get_docstring(ast.parse(Path(textwrap.__file__).read_text()))}")
    for function in (textwrap.wrap, textwrap.fill, textwrap.dedent):
        assert inspect.cleandoc(function.__doc__ or "") in text
    assert "class TextWrapper\n\n" in text
    assert re.search(r"^TextWrapper\.wrap\(self, text\)\n\n", text, re.MULTILINE)


def test_python_docs_are_millions_of_bytes_of_prose(docs: dict[str, str]) -> None:
    assert 1_500_000 < sum(map(len, docs.values())) < 10_000_000
    assert len(docs) > 300
    assert all(text.strip() == text and text for text in docs.values())


def test_nothing_is_imported_to_read_docstrings(docs_and_imports: tuple[dict[str, str], set[str]]) -> None:
    assert not {"antigravity", "this", "turtle", "idlelib"} & docs_and_imports[1]


def test_python_source_is_code_that_parses_without_tests_and_without_other_peoples_packages(
    source: dict[str, str],
) -> None:
    assert source["python/source/json"] == Path(sys.modules["json"].__file__ or "").read_text()
    assert sum(map(len, source.values())) > 5_000_000
    assert not [name for name in source if re.search(r"\b(test|tests|test_\w+|site-packages)\b", name)]
    for text in list(source.values())[::50]:
        ast.parse(text)


def test_the_same_documents_come_in_the_same_order() -> None:
    assert [document.source for document in embedded.python_source()] == [
        document.source for document in embedded.python_source()
    ]


def test_names_are_thousands_different_ones_in_plain_letters_and_in_no_order() -> None:
    names = [document.text for document in embedded.names()]
    assert len(names) == len(set(names)) == 2780
    assert all(re.fullmatch("[a-z]{2,14}", name) for name in names)
    assert {name[0] for name in names} == set("abcdefghijklmnopqrstuvwxyz")
    neighbours_in_order = sum(left < right for left, right in pairwise(names)) / len(names)
    assert 0.4 < neighbours_in_order < 0.6


def library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(embedded.sysconfig, "get_path", lambda _: str(folder))
    return folder


def test_a_library_without_source_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library(tmp_path, monkeypatch)
    with pytest.raises(BadInput, match="keeps no source of its standard library"):
        list(embedded.python_source())


def test_a_broken_file_of_the_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (library(tmp_path, monkeypatch) / "broken.py").write_bytes(b"x = '\xff'\n")
    with pytest.raises(BadInput, match=r"broken\.py, a part of this Python's standard library, cannot be read"):
        list(embedded.python_source())


def test_a_python_without_its_reference_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(BadInput, match="has no pydoc_data"):
        list(embedded.python_docs())


def test_what_says_nothing_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = library(tmp_path, monkeypatch)
    (folder / "empty.py").write_text("\n")
    (folder / "silent.py").write_text("x = 1\n\ndef f():\n    'Short.'\n")
    (folder / "speaking.py").write_text(
        'class A(B, metaclass=C):\n    """Says what it is good for."""\n'
        '    async def run(self, *, a: int = 1): "Runs until it stops."\n'
    )
    assert next(iter(embedded.python_source())).source == "python/source/silent"
    documents = [document for document in embedded.python_docs() if "docstrings" in document.source]
    assert documents == [
        Document(
            "module speaking\n\nclass A(B)\n\nSays what it is good for.\n\nA.run(self, *, a: int=1)\n\n"
            "Runs until it stops.",
            "python/docstrings/speaking",
        )
    ]
