"""Finds the stages: every module of `glassbox.stages` that has a `STAGE`.

Listing reads the files' text and imports nothing, so that it stays fast however much a stage needs.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import pkgutil
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.abc import InspectLoader

import glassbox.stages
from glassbox.errors import BadInput
from glassbox.stages.interface import Stage

_WAY_OF_THE_DATA = ("collect", "split", "train-tokenizer", "tokenize", "pretrain", "evaluate", "sample")


@dataclass(frozen=True)
class StageSummary:
    """A stage by its name and the first line of its docstring."""

    name: str
    module: str
    summary: str


def stages() -> tuple[StageSummary, ...]:
    """Every stage in the order in which data goes through them; those that aren't on that way follow by name."""
    return _stages_in(tuple(glassbox.stages.__path__))


@functools.cache
def _stages_in(folders: tuple[str, ...]) -> tuple[StageSummary, ...]:
    found = [summary for module in pkgutil.iter_modules(folders) if (summary := _summary(module.name))]
    order = {name: place for place, name in enumerate(_WAY_OF_THE_DATA)}
    return tuple(sorted(found, key=lambda stage: (order.get(stage.name, len(order)), stage.name)))


def load_stage(name: str) -> Stage:
    """The stage of that name. Raises BadInput if there is none."""
    known = {stage.name: stage for stage in stages()}
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise BadInput(
            f"There is no stage called {name!r}.",
            f"Did you mean {near[0]}?" if near else f"Use one of: {', '.join(known)}.",
        )
    stage = importlib.import_module(known[name].module).STAGE
    if not isinstance(stage, Stage):
        raise TypeError(f"{known[name].module}.STAGE is not a Stage")
    return stage


def makers(kind: str) -> list[str]:
    """The names of the stages that make artifacts of that kind."""
    loaded = [load_stage(stage.name) for stage in stages()]
    return [stage.name for stage in loaded if any(slot.kind == kind for slot in stage.makes.values())]


def _summary(module: str) -> StageSummary | None:
    path = f"{glassbox.stages.__name__}.{module}"
    spec = importlib.util.find_spec(path)
    if spec is None or not isinstance(spec.loader, InspectLoader):
        return None
    source = spec.loader.get_source(path)
    if not source or "STAGE" not in source:
        return None
    tree = ast.parse(source)
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    if not any(isinstance(target, ast.Name) and target.id == "STAGE" for target in targets):
        return None
    first_line = (ast.get_docstring(tree) or "").partition("\n")[0]
    return StageSummary(module.replace("_", "-"), path, first_line)
