"""The same files with the same classes in every engine, so that a reader can lay two of them side by side."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import glassbox.engines

ENGINES = Path(next(iter(glassbox.engines.__path__)))
FILES = (
    "attention.py",
    "block.py",
    "cache.py",
    "embedding.py",
    "feedforward.py",
    "normalization.py",
    "optimizer.py",
    "positions.py",
    "transformer.py",
)
ONLY_TENSORS = {"Muon"}


def defined(file: Path) -> set[str]:
    """The classes that a file defines."""
    return {node.name for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)}


def known(file: Path) -> set[str]:
    """The classes that a file defines, and what it has from others (the scalars' tables are the lists engine's)."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return defined(file) | {a.name for node in tree.body if isinstance(node, ast.ImportFrom) for a in node.names}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("engine", ["lists", "scalars"])
def test_a_class_of_the_tensors_engine_stands_in_the_same_file_of_the_other(engine: str, file: str):
    missing = {name for name in defined(ENGINES / "tensors" / file) if name not in known(ENGINES / engine / file)}
    assert missing <= ONLY_TENSORS


@pytest.mark.parametrize("engine", ["lists", "scalars"])
def test_only_the_standard_library_is_imported(engine: str):
    for file in (ENGINES / engine).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.split(".")[0] in {"glassbox", *sys.stdlib_module_names}, f"{file}: {name}"
