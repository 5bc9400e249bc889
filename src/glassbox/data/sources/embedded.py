"""Corpora that every Python installation already has, and one that Glassbox brings along: no network needed.

python-docs    the language reference (`pydoc_data.topics`) and the standard library's docstrings, a module a document
python-source  the standard library's code, a file a document
names          2,780 given names from many cultures, a name a document

The first two differ from one version of Python to the next, as the library does.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from glassbox.data.documents import Document
from glassbox.errors import BadInput

SKIPPED_FOLDERS = {"test", "tests", "idle_test", "__pycache__", "site-packages", "dist-packages", "lib2to3", "config"}
"""Folders of the standard library that aren't part of it, hold tests, or hold broken code on purpose."""

SHORTEST_DOCSTRING = 20
"""Characters; what is shorter says nothing ("See PEP 8.")."""


def python_docs() -> Iterator[Document]:
    """The language reference, a topic a document, then the standard library's docstrings, a module a document."""
    yield from _language_reference()
    for path, name in _library_files():
        text = _docstrings(_read(path), name)
        if text:
            yield Document(text, f"python/docstrings/{name}")


def python_source() -> Iterator[Document]:
    """The standard library's code, a file a document."""
    for path, name in _library_files():
        text = _read(path)
        if text.strip():
            yield Document(text, f"python/source/{name}")


def names() -> Iterator[Document]:
    """Given names in a-z, a name a document, in no order: a sorted list would give the next name's letters away."""
    text = resources.files("glassbox.data.sources").joinpath("names.txt").read_text("ascii")
    for name in text.split():
        yield Document(name, "glassbox/names")


def _language_reference() -> Iterator[Document]:
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        raise BadInput(
            "This Python has no pydoc_data, the language reference that python-docs is made of.",
            "Install the whole standard library (on Debian: python3-full), or collect another source.",
        ) from None
    for name in sorted(topics):
        text = topics[name].strip()
        if text:
            yield Document(text, f"python/reference/{name}")


def _library_files() -> Iterator[tuple[Path, str]]:
    """Each Python file of the standard library with its dotted name, in alphabetical order."""
    library = Path(sysconfig.get_path("stdlib"))
    found = False
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).with_suffix("").parts
        if any(part in SKIPPED_FOLDERS or part.startswith(("config-", "test_")) for part in parts):
            continue
        if parts[0] == "pydoc_data":
            continue
        found = True
        yield path, ".".join(parts).removesuffix(".__init__")
    if not found:
        raise BadInput(
            f"This Python keeps no source of its standard library in {library}.",
            "Use a Python that does (python.org, conda and uv do), or collect another source.",
        )


def _read(path: Path) -> str:
    try:
        with tokenize.open(path) as file:  # as Python does: UTF-8 unless the file itself says otherwise
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path}, a part of this Python's standard library, cannot be read: {error}.",
            "Repair the installation of Python, or collect another source.",
        ) from error


def _docstrings(source: str, name: str) -> str:
    """A module's docstrings as one text: the module's own, then those of its classes and functions under headings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # old code's invalid escapes are no concern of the reader's
        tree = ast.parse(source)
    sections = list(_sections(tree, ""))
    introduction = inspect.cleandoc(ast.get_docstring(tree, clean=False) or "").strip()
    if introduction:
        sections.insert(0, introduction)
    return "\n\n".join([f"module {name}", *sections]) if sections else ""


def _sections(parent: ast.Module | ast.ClassDef, prefix: str) -> Iterator[str]:
    for node in parent.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = inspect.cleandoc(ast.get_docstring(node, clean=False) or "").strip()
            if len(docstring) >= SHORTEST_DOCSTRING:
                yield f"{_heading(node, prefix)}\n\n{docstring}"
            if isinstance(node, ast.ClassDef):
                yield from _sections(node, f"{prefix}{node.name}.")


def _heading(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, prefix: str) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {prefix}{node.name}({bases})" if bases else f"class {prefix}{node.name}"
    return f"{prefix}{node.name}({ast.unparse(node.args)})"
