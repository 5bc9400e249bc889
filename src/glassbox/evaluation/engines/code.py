"""The same component's source in each engine, aligned by names, with its formulas, lines and complexity.

Everything is read from the files as they are; no engine is imported.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import glassbox.engines
from glassbox.engines.catalogue import ENGINES
from glassbox.errors import BadInput

FOLDER = Path(glassbox.engines.__file__).parent

COMPONENTS = (
    "attention",
    "cross_attention",
    "feedforward",
    "experts",
    "normalization",
    "positions",
    "relative_positions",
    "embedding",
    "block",
    "stack",
    "transformer",
    "optimizer",
)
"""Those that every engine has a file of."""

LEVELS = {
    "scalars": (
        "every single number, what it was made from, and the slope that the chain rule multiplies by",
        "that the same is done to thousands of numbers at once; what a step costs in memory is far from its formula",
    ),
    "lists": (
        "every loop, and each derivative written out beside its formula",
        "the graph of which depends on which: the order of the backward pass is the author's",
    ),
    "arrays": (
        "which products of matrices a step consists of, and what has to be kept for the way back",
        "the loops over tokens, heads and channels, which are shapes now",
    ),
    "tensors": (
        "the architecture alone, as fast as the machine",
        "the backward pass, which nobody wrote, and the scores of attention, which its kernel never stores",
    ),
}
"""What each level of abstraction shows, and what it hides."""

_FORMULA = re.compile(r"\w\(|[²√Σ←]|<-| = | \* |\^")


@dataclass(frozen=True)
class Unit:
    """A class, a method or a function: `Attention.forward`, its first line in the file, and its source."""

    name: str
    line: int
    source: str
    docstring: str
    complexity: int

    @property
    def lines(self) -> int:
        return self.source.count("\n") + 1


@dataclass(frozen=True)
class EngineSource:
    """One engine's file of a component.

    lines:      those with code, without blank ones, comments and docstrings.
    complexity: McCabe's number of each function, added up.
    most:       the largest of them.
    """

    engine: str
    path: str
    source: str
    docstring: str
    lines: int
    complexity: int
    most: int
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class Row:
    """What has the same name: the engine's unit, or None where an engine has none of that name."""

    name: str
    formulas: tuple[str, ...]
    units: dict[str, Unit | None]


@dataclass(frozen=True)
class Comparison:
    """A component in every engine, its rows in the order in which they are defined."""

    component: str
    engines: dict[str, EngineSource]
    rows: tuple[Row, ...]


def compare_code(component: str) -> Comparison:
    """Raises BadInput that names the components there are."""
    if component not in COMPONENTS:
        near = get_close_matches(component, COMPONENTS, n=1)
        raise BadInput(
            f"No component is called {component!r}.",
            f"Did you mean {near[0]}?" if near else f"Choose one of {', '.join(COMPONENTS)}.",
        )
    engines = {name: engine_source(name, component) for name in ENGINES}
    units = {name: {unit.name: unit for unit in engine.units} for name, engine in engines.items()}
    rows = tuple(
        Row(unit, _formulas(unit, units), {name: known.get(unit) for name, known in units.items()})
        for unit in _in_order([list(known) for known in units.values()])
    )
    return Comparison(component, engines, rows)


@cache
def engine_source(engine: str, component: str) -> EngineSource:
    """One engine's file, taken apart."""
    file = FOLDER / engine / f"{component}.py"
    source = file.read_text(encoding="utf-8")
    tree = ast.parse(source)
    complexities = [complexity(node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return EngineSource(
        engine=engine,
        path=file.relative_to(FOLDER.parent.parent).as_posix(),
        source=source,
        docstring=ast.get_docstring(tree) or "",
        lines=len(code_lines(source, tree)),
        complexity=sum(complexities),
        most=max(complexities, default=0),
        units=tuple(_units(tree, source.splitlines())),
    )


def complexity(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Ways through a function (McCabe 1976): one, and one more for each branch, loop and `except`.

    Counted as the usual checkers do: a comprehension is no loop, `and` is no branch, and a function inside counts in
    full for the one around it.
    """
    ways = 1
    for node in ast.walk(function):
        match node:
            case ast.If() | ast.ExceptHandler():
                ways += 1
            case ast.For() | ast.AsyncFor() | ast.While():
                ways += 1 + bool(node.orelse)
            case ast.Try(orelse=orelse):
                ways += bool(orelse)
            case ast.Match(cases=cases):
                ways += len(cases) - _has_default(cases)
            case ast.FunctionDef() | ast.AsyncFunctionDef() if node is not function:
                ways += 1
            case _:
                pass
    return ways


def code_lines(source: str, tree: ast.Module) -> set[int]:
    """Numbers of the lines that hold code: no blank ones, no comments, no docstrings."""
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in quiet:
            found.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return found


def _has_default(cases: list[ast.match_case]) -> bool:
    last = cases[-1]
    return isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None and last.guard is None


def _units(tree: ast.Module, lines: list[str]) -> Iterator[Unit]:
    """Functions, methods, and of each class what stands before its first method."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield _unit(node.name, node, lines)
        elif isinstance(node, ast.ClassDef):
            methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
            until = min((_first_line(method) - 1 for method in methods), default=node.end_lineno or node.lineno)
            source = "\n".join(lines[_first_line(node) - 1 : until]).rstrip()
            yield Unit(node.name, _first_line(node), source, ast.get_docstring(node) or "", 0)
            for method in methods:
                yield _unit(f"{node.name}.{method.name}{_role(method)}", method, lines)


def _unit(name: str, node: ast.FunctionDef, lines: list[str]) -> Unit:
    first = _first_line(node)
    source = "\n".join(lines[first - 1 : node.end_lineno])
    return Unit(name, first, source, ast.get_docstring(node) or "", complexity(node))


def _role(method: ast.FunctionDef) -> str:
    """A property's setter has the name of its getter."""
    attributes = [decorator.attr for decorator in method.decorator_list if isinstance(decorator, ast.Attribute)]
    return ".setter" if "setter" in attributes else ""


def _first_line(node: ast.FunctionDef | ast.ClassDef) -> int:
    """Decorators included."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _formulas(unit: str, units: dict[str, dict[str, Unit]]) -> tuple[str, ...]:
    """The lines of the docstrings that hold a formula, each once."""
    docstrings = [known[unit].docstring for known in units.values() if unit in known]
    lines = [line.strip() for docstring in docstrings for line in docstring.splitlines()]
    return tuple(dict.fromkeys(line for line in lines if _FORMULA.search(line) and " -> " not in line))


def _in_order(orders: list[list[str]]) -> list[str]:
    """All names, each after what stands before it in the first order that has it."""
    merged: list[str] = []
    for order in orders:
        place = 0
        for name in order:
            if name in merged:
                place = merged.index(name) + 1
            else:
                merged.insert(place, name)
                place += 1
    return merged
