"""The rules that hold for all of the workshop's code, also for what isn't written yet."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel

from glassbox.workshop.app import create_app
from glassbox.workshop.pages.rendering import FOLDER
from glassbox.workshop.settings import WorkshopSettings

SOURCE = Path(__file__).resolve().parents[2] / "src" / "glassbox"
FILES = sorted(path for path in SOURCE.rglob("*.py"))

RUNS_WHAT_WAS_LOADED = {
    "pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle",
}  # fmt: skip
CALLS = {"eval", "exec", "compile", "__import__"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a file, with the dotted name of what is called."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.fixture
def document(own_workspace: Path) -> Iterator[dict[str, Any]]:
    """The API's description."""
    app: FastAPI = create_app(WorkshopSettings(workspace=own_workspace))
    yield app.openapi()
    app.state.workshop.stop()


def test_nothing_that_is_loaded_can_run():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & RUNS_WHAT_WAS_LOADED, path
        for name, call in calls(path):
            assert name not in CALLS, f"{path}:{call.lineno}"
            assert name != "yaml.load", f"{path}:{call.lineno}"
            if name == "torch.load":
                keywords = {one.arg: ast.unparse(one.value) for one in call.keywords}
                assert keywords.get("weights_only") == "True", f"{path}:{call.lineno}"


def test_no_process_is_started_through_a_shell():
    for path in FILES:
        for name, call in calls(path):
            assert name not in ("os.system", "os.popen"), f"{path}:{call.lineno}"
            shell = [ast.unparse(one.value) for one in call.keywords if one.arg == "shell"]
            assert shell in ([], ["False"]), f"{path}:{call.lineno}"


def test_templates_run_in_the_immutable_sandbox_only():
    allowed = {"ImmutableSandboxedEnvironment"}
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if "jinja2" in text:
            made = {name.rpartition(".")[2] for name, _ in calls(path) if re.search(r"(Environment|Template)$", name)}
            assert made <= allowed, path


def test_the_workshops_pages_have_no_script_or_style_of_their_own_inside():
    for path in (FOLDER / "templates").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|\|\s*safe", text), path
        assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text), path


def test_every_body_refuses_fields_that_it_does_not_have(document: dict[str, Any]):
    """OpenAI's own shapes are checked field by field where they are read, and refused in OpenAI's words."""
    schemas, open_ones = document["components"]["schemas"], []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                if "json" in media_type:
                    open_ones += [f"{method} {path}: {name}" for name in _open(content["schema"], schemas, set())]
    assert open_ones == []


def test_every_body_refuses_a_value_of_another_type(own_workspace: Path):
    """`true` for a number, read as 1, or as the limit 0 where somebody meant none."""
    app = create_app(WorkshopSettings(workspace=own_workspace))
    bodies: set[type[BaseModel]] = set()
    for route in (context.original_route for context in iter_route_contexts(app.routes)):
        if isinstance(route, APIRoute) and route.body_field is not None:
            _collect(route.body_field.field_info.annotation, bodies)
    app.state.workshop.stop()
    ours = {body for body in bodies if body.__module__.startswith("glassbox.workshop.")}
    assert len(ours) > 20
    assert {body.__name__ for body in ours if not body.model_config.get("strict")} == set()


def _collect(annotation: Any, found: set[type[BaseModel]]) -> None:
    """The models in it, and in their fields."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        inner = [] if annotation in found else [field.annotation for field in annotation.model_fields.values()]
        found.add(annotation)
    else:
        inner = get_args(annotation)
    for one in inner:
        _collect(one, found)


def _open(schema: Any, schemas: dict[str, Any], seen: set[str]) -> Iterator[str]:
    """The objects with named properties, here and below, that take any other property too."""
    if isinstance(schema, list):
        for one in schema:
            yield from _open(one, schemas, seen)
    elif isinstance(schema, dict):
        if (reference := schema.get("$ref")) is not None:
            name = reference.rpartition("/")[2]
            if name not in seen:
                seen.add(name)
                yield from _open(schemas[name], schemas, seen)
        if isinstance(schema.get("properties"), dict) and schema.get("additionalProperties") is not False:
            yield schema.get("title", "an object without a name")
        for name, one in schema.items():
            if name not in ("default", "examples", "example", "discriminator"):
                yield from _open(one, schemas, seen)


def test_every_operation_is_described_and_named_once(document: dict[str, Any]):
    operations = [one for path in document["paths"].values() for one in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert sorted(names) == sorted(set(names))
    for operation in operations:
        assert operation.get("summary"), operation["operationId"]
        assert operation.get("description"), operation["operationId"]
        assert operation.get("tags"), operation["operationId"]


@pytest.mark.parametrize("module", ["glassbox.workshop.app", "glassbox.workshop.serve", "glassbox.cli.accounts"])
def test_the_server_imports_no_tensor_library(module: str):
    code = f"import sys, {module}; sys.exit(' '.join({{'torch', 'transformers', 'ray'}} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
