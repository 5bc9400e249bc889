"""The engines' own source, read, aligned and counted."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from glassbox.engines.catalogue import ENGINES
from glassbox.errors import BadInput
from glassbox.evaluation.engines.code import COMPONENTS, FOLDER, LEVELS, code_lines, compare_code, complexity


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_engine_shows_its_real_source_of(component: str):
    compared = compare_code(component)
    assert list(compared.engines) == list(ENGINES) == list(LEVELS)
    for name, source in compared.engines.items():
        lines = (FOLDER / name / f"{component}.py").read_text(encoding="utf-8").splitlines()
        assert source.source.splitlines() == lines
        for unit in source.units:
            assert unit.source.splitlines() == lines[unit.line - 1 : unit.line - 1 + unit.lines]
        shown = [row.units[name] for row in compared.rows if row.units[name] is not None]
        assert sorted(unit.line for unit in shown if unit) == [unit.line for unit in source.units]


def test_what_has_the_same_name_stands_in_one_row():
    rows = {row.name: row.units for row in compare_code("attention").rows}
    assert all(rows["Attention.forward"].values())
    assert rows["softmax_backward"]["lists"]
    assert rows["softmax_backward"]["scalars"] is None
    names = list(rows)
    assert names.index("Attention") < names.index("Attention.__init__") < names.index("Attention.forward")


def test_a_formula_stands_beside_what_computes_it():
    rows = {row.name: row.formulas for row in compare_code("attention").rows}
    assert any("exp(" in formula for formula in rows["softmax"])
    rows = {row.name: row.formulas for row in compare_code("feedforward").rows}
    assert "down(activation(up(x)))" in rows["FeedForward"]


def test_an_unknown_component_is_answered_with_the_nearest():
    with pytest.raises(BadInput, match="'atention'") as error:
        compare_code("atention")
    assert "attention" in error.value.remedy
    with pytest.raises(BadInput) as error:
        compare_code("../../errors")
    assert "block" in error.value.remedy


def test_complexity_is_what_ruff_counts():
    files = sorted(FOLDER.rglob("*.py"))
    options = ["--isolated", "--select", "C901", "--config", "lint.mccabe.max-complexity=0", "--output-format", "json"]
    command = [sys.executable, "-m", "ruff", "check", *options, *map(str, files)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    theirs = {
        (Path(one["filename"]).as_posix(), one["location"]["row"], int(re.search(r"\((\d+) >", one["message"])[1]))
        for one in found
    }
    ours = {
        (file.as_posix(), node.lineno, complexity(node))
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert len(ours) > 300
    assert ours == theirs


def test_lines_of_code_are_neither_blank_nor_comments_nor_docstrings():
    lines = ['"""What it is."""', "", "import sys  # for exit", "", "# Why.", "def leave():", '    """Go."""']
    lines += ["    sys.exit(", "        1", "    )"]
    source = "\n".join(lines) + "\n"
    assert code_lines(source, ast.parse(source)) == {3, 6, 8, 9, 10}


def test_reading_the_source_imports_no_engine():
    code = (
        "import sys; from glassbox.evaluation.engines.code import compare_code; compare_code('attention');"
        "print([name for name in sys.modules if name.startswith(('torch', 'glassbox.engines.arrays'))])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
