"""Every file of the folder with a STAGE is a stage; finding them imports nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

import glassbox.stages
from glassbox.errors import BadInput
from glassbox.stages import registry
from glassbox.stages.interface import Stage

NAMES = [stage.name for stage in registry.stages()]


def test_stages_come_in_the_order_of_the_data_and_others_after_them(rehearse):
    names = [stage.name for stage in registry.stages()]
    assert names.index("collect") < names.index("split") < names.index("tokenize") < names.index("evaluate")
    assert names.index("evaluate") < names.index("rehearse") < names.index("train-digits")


def test_the_listing_says_what_the_loaded_stage_says(rehearse):
    listed = {stage.name: stage.summary for stage in registry.stages()}
    assert listed["rehearse"] == rehearse.summary == "Rehearse everything a stage can do, without doing anything."
    assert rehearse.name == "rehearse"
    assert "[brackets]" in rehearse.description


def test_the_machinery_of_stages_is_no_stage():
    assert not {"interface", "context", "registry", "execution", "inputs", "stopping"} & set(NAMES)


def test_a_typo_is_met_with_the_near_name():
    with pytest.raises(BadInput) as caught:
        registry.load_stage("tokenise")
    assert caught.value.remedy == "Did you mean tokenize?"
    with pytest.raises(BadInput, match="Use one of: collect"):
        registry.load_stage("../../x")


def test_a_module_whose_stage_is_something_else_is_a_fault(tmp_path, monkeypatch):
    (tmp_path / "pretence.py").write_text('"""Pretend."""\nSTAGE = 7\n')
    monkeypatch.setattr(glassbox.stages, "__path__", [str(tmp_path)])
    with pytest.raises(TypeError, match="not a Stage"):
        registry.load_stage("pretence")


def test_listing_and_loading_stages_imports_no_tensor_library():
    code = (
        "import sys; from glassbox.stages import registry; names = registry.stages(); before = set(sys.modules);"
        "assert not any('glassbox.stages.' + stage.module.split('.')[-1] in before for stage in names);"
        "[registry.load_stage(stage.name) for stage in names];"
        "print([name for name in ('torch', 'pyarrow', 'sqlalchemy', 'transformers') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in result.stdout


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_is_whole(name):
    stage = registry.load_stage(name)
    assert isinstance(stage, Stage)
    assert stage.name == name
    assert stage.summary.endswith(".")
    assert stage.takes or stage.makes
    for field, info in fields(stage.settings):
        assert info.description, f"{name}: {field} has no description"
        assert info.description.endswith((".", ")")), f"{name}: the description of {field} is no sentence"


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_makes_and_takes_what_it_declares(name):
    stage = registry.load_stage(name)
    tree = ast.parse(Path(sys.modules[stage.run.__module__].__file__ or "").read_text())
    called = {"input": set(), "output": set()}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="context"), attr="input" | "output" as verb)):
                [argument] = node.args
                assert isinstance(argument, ast.Constant)
                called[verb].add(argument.value)
            case _:
                pass
    assert called["input"] <= set(stage.takes)
    assert called["output"] == set(stage.makes)


def fields(settings: type[BaseModel]):
    for name, info in settings.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from fields(info.annotation)
        else:
            yield name, info
