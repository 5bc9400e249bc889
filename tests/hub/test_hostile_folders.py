"""Folders that are damaged, don't belong together, or were made to do harm: refused, and nothing is written."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_models import MODELS, save_tokenizer, saved
from safetensors.numpy import load_file, save_file

from glassbox.errors import BadInput
from glassbox.hub import Import
from glassbox.stages.execution import execute
from glassbox.stages.registry import load_stage
from glassbox.workspace import Workspace

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    saved("llama 2", tmp_path / "model")
    return tmp_path / "model"


def with_config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps({name: v for name, v in values.items() if v != "gone"}))

    return change


def with_tensors(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return changed


def with_index(weight_map: Any, *, rename: str | None = None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        names = load_file(folder / WEIGHTS)
        (folder / WEIGHTS).rename(folder / (rename or "part.safetensors"))
        content = dict.fromkeys(names, weight_map) if isinstance(weight_map, str) else weight_map
        (folder / INDEX).write_text(json.dumps({"weight_map": content}))

    return change


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weights": 1}))


def linked_out(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder.parent / "elsewhere.safetensors")
    (folder / WEIGHTS).symlink_to(folder.parent / "elsewhere.safetensors")


def linked_to_itself(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to(folder / WEIGHTS)


def a_pipe(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def written(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def terabyte(folder: Path) -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}}).encode()
    (folder / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header)


DOWN = "model.layers.0.mlp.down_proj.weight"
HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (without("config.json"), "has no config.json"),
    "no weights": (without(WEIGHTS), "has no model.safetensors"),
    "an empty config": (written("config.json", b""), "isn't JSON"),
    "a config in broken UTF-8": (written("config.json", b'{"model_type": "\xff"}'), "isn't JSON"),
    "a config that is a list": (written("config.json", b"[]"), "should hold a JSON object, not list"),
    "a config with NaN": (written("config.json", b'{"rms_norm_eps": NaN}'), "holds NaN"),
    "a config without end": (written("config.json", b'{"a":' * 100_000), "isn't JSON"),
    "an infinite epsilon": (written("config.json", b'{"model_type": "llama", "rms_norm_eps": 1e999}'), "should be"),
    "a family unknown": (with_config(model_type="mamba"), "model_type 'mamba'.* doesn't know"),
    "a family that is a number": (with_config(model_type=3), "model_type 3"),
    "no family": (with_config(model_type="gone"), "model_type None"),
    "no width": (with_config(hidden_size="gone"), "hidden_size .* should be a whole number .* nothing came"),
    "a width of text": (with_config(hidden_size="24"), "hidden_size .* '24' came"),
    "a width that is true": (with_config(hidden_size=True), "hidden_size .* True came"),
    "a negative width": (with_config(hidden_size=-24), "hidden_size .* -24 came"),
    "a width beyond all sense": (with_config(hidden_size=10**30), "hidden_size .* should be"),
    "a billion layers": (with_config(num_hidden_layers=10**9), "layers"),
    "heads that share unevenly": (with_config(num_key_value_heads=3), "cannot share 3 key/value heads"),
    "an epsilon of text": (with_config(rms_norm_eps="small"), "rms_norm_eps .* should be a number"),
    "an activation unknown": (with_config(hidden_act="mish"), "hidden_act .* 'mish', which Glassbox doesn't carry"),
    "a scaling unknown": (with_config(rope_parameters={"rope_type": "yarn", "factor": 4}), "'yarn'.* doesn't carry"),
    "rotation of each kind of layer": (
        with_config(rope_parameters={"full_attention": {"rope_theta": 1e6}}), "'full_attention', which Glassbox doesn't"
    ),
    "a scaling that is text": (with_config(rope_parameters="yarn"), "rope_parameters .* should be an object"),
    "another size than the weights'": (with_config(intermediate_size=41), r"shape \(40, 24\), and .* \(41, 24\)"),
    "a vocabulary larger than the weights'": (with_config(vocab_size=10**9), "embed_tokens"),
    "more layers than weights": (with_config(num_hidden_layers=3), "lacks the weight model.layers.2"),
    "fewer layers than weights": (with_config(num_hidden_layers=1), "holds the tensor 'model.layers.1"),
    "a missing tensor": (with_tensors(lambda held: held.pop(DOWN)), f"lacks the weight {DOWN}"),
    "a tensor turned": (with_tensors(lambda held: held.update({DOWN: held[DOWN].T.copy()})), r"shape \(40, 24\)"),
    "whole numbers for weights": (
        with_tensors(lambda held: held.update({DOWN: held[DOWN].astype(np.int8)})), "numbers of the format I8"
    ),
    "an adapter's tensor": (
        with_tensors(lambda held: held.update({"model.lora_A.weight": held[DOWN]})), "the tensor 'model.lora_A.weight'"
    ),
    "another head": (
        with_tensors(lambda held: held.update(score=held.pop("lm_head.weight"))), "lacks the weight lm_head"
    ),
    "a head that says to be tied and isn't": (with_config(tie_word_embeddings=True), "the tensor 'lm_head.weight'"),
    "weights cut short": (lambda folder: os.truncate(folder / WEIGHTS, 1_000), "promises a header|should have"),
    "no bytes of weights": (written(WEIGHTS, b""), "promises a header"),
    "a promise of a terabyte": (terabyte, "by its header"),
    "pickle": (pickled, "pickle .* runs whatever program"),
    "a link out of the folder": (linked_out, "leads out of the folder"),
    "a link to itself": (linked_to_itself, "can't be followed"),
    "a pipe, which never ends": (a_pipe, "no ordinary file"),
    "an index that climbs out": (with_index("../part.safetensors"), "no safetensors file of this folder"),
    "an index with an absolute path": (with_index("/etc/passwd"), "no safetensors file of this folder"),
    "an index with Windows' separators": (with_index("..\\part.safetensors"), "no safetensors file of this folder"),
    "an index that names pickle": (with_index("part.bin", rename="part.bin"), "no safetensors file of this folder"),
    "an index of a missing shard": (with_index("other.safetensors"), "which isn't there"),
    "an index of nothing": (with_index({}), "has no weight_map"),
    "an index of numbers": (with_index({DOWN: 1}), "to no file"),
    "an index that leaves tensors out": (with_index({DOWN: "part.safetensors"}), "doesn't name"),
    "an index that gives a tensor to the wrong file": (
        with_index({"model.nothing": "part.safetensors"}), "says that 'model.nothing' is in"
    ),
    "a damaged tokenizer": (written("tokenizer.json", b'{"model": 3}'), "isn't a tokenizer"),
    "a template that is no text": (written("tokenizer_config.json", b'{"chat_template": 3}'), "should be text"),
    "a template in broken UTF-8": (written("chat_template.jinja", b"\xff"), "can't be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_folder_is_refused_and_nothing_is_written(case: str, folder: Path, tmp_path: Path) -> None:
    change, said = HOSTILE[case]
    change(folder)
    workspace = Workspace(tmp_path / "workspace")
    stage = load_stage("import-model")
    with pytest.raises(BadInput, match=said):
        execute(stage, stage.settings(path=folder), workspace, {})
    assert workspace.artifacts.list() == []
    assert list((tmp_path / "workspace" / "artifacts").rglob("*.safetensors")) == []


def test_a_tokenizer_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    save_tokenizer(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    last = content["added_tokens"][-1]
    content["added_tokens"] += [last | {"id": 92 + number, "content": f"<|{number}|>"} for number in range(50)]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    stage = load_stage("import-model")
    with pytest.raises(BadInput, match=r"makes .* ids, and the model beside it knows 96"):
        execute(stage, stage.settings(path=folder), Workspace(tmp_path / "workspace"), {})


def test_links_of_hugging_faces_cache_are_followed(folder: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--x" / "blobs", tmp_path / "models--x" / "snapshots" / "0123"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, path in enumerate(folder.iterdir()):
        path.rename(blobs / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    assert Import(snapshot).family.model_type == "llama"


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no folder"):
        Import(tmp_path / "missing")


@pytest.mark.parametrize(
    ("changes", "window"),
    [
        ({"use_sliding_window": False, "sliding_window": 7}, None),
        ({"layer_types": ["sliding_attention"] * 2}, 7),
        ({"layer_types": ["full_attention"] * 2}, None),
        ({"layer_types": None, "max_window_layers": 0}, 7),
        ({"layer_types": None, "max_window_layers": 2}, None),
        ({"sliding_window": 48}, None),
        ({"layer_types": None, "max_window_layers": 1}, "to some layers only"),
        ({"layer_types": ["sliding_attention", "full_attention"]}, "to some layers only"),
        ({"layer_types": ["sliding_attention"]}, "to some layers only"),
        ({"layer_types": "sliding_attention"}, "to some layers only"),
    ],
)
def test_qwen_has_its_window_in_all_layers_or_none(changes: dict[str, Any], window: Any, tmp_path: Path) -> None:
    saved("qwen2, windowed", tmp_path)
    with_config(**changes)(tmp_path)
    if isinstance(window, str):
        with pytest.raises(BadInput, match=window):
            Import(tmp_path)
    else:
        assert Import(tmp_path).spec.window == window


def test_a_config_of_a_gigabyte_is_not_read(folder: Path) -> None:
    os.truncate(folder / "config.json", 10**9)  # a file of holes, which takes no room
    with pytest.raises(BadInput, match="at most 200,000,000 are read"):
        Import(folder)


SCALARS = st.sampled_from([None, True, -3, 0, 1, 3, 10**6, 10**12, 2**70, 1.5, 1e300, -0.0, "", "silu"])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["rope_type", "factor", "x"]), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("name", MODELS)
def test_any_change_of_a_config_is_read_or_refused(name: str, tmp_path: Path) -> None:
    """Whatever stands in config.json: a spec comes out, or BadInput, and no other error, soon."""
    saved(name, tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())

    names = st.sampled_from(sorted({*values, "rope_scaling", "head_dim"}))

    @settings(max_examples=60)
    @given(st.dictionaries(names, JSON, min_size=1, max_size=3))
    def read_or_refused(changes: dict[str, Any]) -> None:
        (tmp_path / "config.json").write_text(json.dumps(values | changes))
        with contextlib.suppress(BadInput):
            Import(tmp_path)

    read_or_refused()


@pytest.fixture(scope="module")
def whole() -> tuple[bytes, bytes]:
    """The config and the weights of a model."""
    with tempfile.TemporaryDirectory() as folder:
        saved("llama 2", Path(folder))
        return (Path(folder) / "config.json").read_bytes(), (Path(folder) / WEIGHTS).read_bytes()


@settings(max_examples=60)
@given(place=st.integers(0, 3000), bytes_there=st.binary(min_size=1, max_size=8))
def test_any_damage_to_weights_is_read_or_refused(whole: tuple[bytes, bytes], place: int, bytes_there: bytes) -> None:
    config, content = whole[0], bytearray(whole[1])
    content[place : place + len(bytes_there)] = bytes_there
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_bytes(config)
        (Path(folder) / WEIGHTS).write_bytes(content)
        with contextlib.suppress(BadInput):
            Import(Path(folder)).write(Path(folder))
