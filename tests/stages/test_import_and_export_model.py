"""A model comes in from one folder, is used, and goes out to another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from glassbox.errors import BadInput
from glassbox.stages.execution import Outcome, execute
from glassbox.stages.registry import load_stage
from glassbox.stages.stopping import StopRequest
from glassbox.workspace import Artifact, Workspace

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

TEXT = "the cat sat on the mat and the dog sat on the cat " * 20


def run(workspace: Workspace, name: str, inputs: Mapping[str, Artifact] | None = None, **settings: Any) -> Outcome:
    stage = load_stage(name)
    return execute(stage, stage.settings(**settings), workspace, inputs or {})


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A small Pythia with more rows than its tokenizer has ids, as the real ones."""
    folder = tmp_path / "Tiny Pythia"
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=40, special_tokens=["<|endoftext|>"], show_progress=False)
    library.train_from_iterator([TEXT], trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=library, eos_token="<|endoftext|>")
    fast.chat_template = "{{ messages }}"
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.GPTNeoXConfig(
        vocab_size=64, hidden_size=32, intermediate_size=40, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=32, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    transformers.GPTNeoXForCausalLM(config).save_pretrained(folder)
    return folder


def test_an_imported_model_is_measured_and_exported(published: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    outcome = run(workspace, "import-model", path=published)
    model = outcome.outputs["model"]
    assert model.name == "tiny-pythia"
    assert outcome.result["family"] == model.facts["family"] == "gpt_neox"
    assert outcome.result["chat_template"] is True
    assert model.problems() == []

    (tmp_path / "text.txt").write_text("\n".join([TEXT] * 40))
    collected = run(workspace, "collect", source="files", path=tmp_path / "text.txt", cut="lines").outputs
    collected = run(workspace, "split", collected).outputs
    tokenizer = outcome.outputs["tokenizer"]
    shards = run(workspace, "tokenize", {**collected, "tokenizer": tokenizer}).outputs["shards"]
    report = run(workspace, "evaluate", {"model": model, "shards": shards}, split="train", baselines=False)
    assert float(str(report.result["loss"])) > 0

    written = run(workspace, "export-model", {"model": model}, to=tmp_path / "out" / "back")
    assert written.result["computed_as"] == "gpt_neox"
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "back")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(published)
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, theirs(ids).logits, rtol=0, atol=0)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "out" / "back")
    assert again.chat_template == "{{ messages }}"


def test_nothing_is_written_over(published: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    model = run(workspace, "import-model", path=published).outputs["model"]
    target = tmp_path / "taken"
    target.mkdir()
    (target / "thesis.txt").write_text("three years of work")
    with pytest.raises(BadInput, match="is there already"):
        run(workspace, "export-model", {"model": model}, to=target)
    assert [path.name for path in target.iterdir()] == ["thesis.txt"]
    assert not list(tmp_path.glob(".taken*"))


def test_a_disk_that_refuses_leaves_nothing_behind(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from glassbox.hub.tensor_file import TensorFileWriter

    workspace = Workspace(tmp_path / "workspace")
    model = run(workspace, "import-model", path=published).outputs["model"]

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorFileWriter, "write", refuse)
    with pytest.raises(BadInput, match="is full"):
        run(workspace, "export-model", {"model": model}, to=tmp_path / "out")
    with pytest.raises(BadInput, match="is full"):
        run(workspace, "import-model", path=published)
    assert not list(tmp_path.glob("*out*"))
    assert len(workspace.artifacts.list("model")) == 1


@pytest.mark.parametrize("name", ["import-model", "export-model"])
def test_a_stop_throws_the_unfinished_away(name: str, published: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    model = run(workspace, "import-model", path=published).outputs["model"]
    stage = load_stage(name)
    settings = {"path": published} if name == "import-model" else {"to": tmp_path / "out"}
    stop = StopRequest()
    stop.made = True
    inputs = {} if name == "import-model" else {"model": model}
    outcome = execute(stage, stage.settings(**settings), workspace, inputs, stop=stop)
    assert outcome.run.state == "interrupted"
    assert not (tmp_path / "out").exists()
    assert len(workspace.artifacts.list("model")) == 1


def test_a_model_without_tokenizer_says_so(published: Path, tmp_path: Path) -> None:
    (published / "tokenizer.json").unlink()
    workspace = Workspace(tmp_path / "workspace")
    outcome = run(workspace, "import-model", path=published, number_format="bfloat16")
    assert outcome.result["tokenizer"] is None
    assert outcome.result["number_format"] == "bfloat16"
    with pytest.raises(BadInput, match="has no tokenizer"):
        run(workspace, "sample", outcome.outputs)


def test_the_same_model_goes_to_llama_cpp_and_to_onnxruntime(published: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    workspace = Workspace(tmp_path / "workspace")
    model = {"model": run(workspace, "import-model", path=published).outputs["model"]}
    written = run(workspace, "export-model", model, format="gguf", to=tmp_path / "tiny.gguf", number_format="float16")
    assert written.result == {
        "computed_as": "gptneox", "bytes": (tmp_path / "tiny.gguf").stat().st_size,
    }  # fmt: skip
    assert (tmp_path / "tiny.gguf").read_bytes()[:4] == b"GGUF"
    with pytest.raises(BadInput, match="is there already"):
        run(workspace, "export-model", model, format="gguf", to=tmp_path / "tiny.gguf")
    run(workspace, "export-model", model, format="onnx", to=tmp_path / "graph")
    assert {"model.onnx", "model.onnx_data", "tokenizer.json"} <= {path.name for path in (tmp_path / "graph").iterdir()}
    with pytest.raises(BadInput, match="ONNX is written in float32"):
        run(workspace, "export-model", model, format="onnx", to=tmp_path / "half", number_format="float16")
    (published / "tokenizer.json").unlink()
    bare = {"model": run(workspace, "import-model", path=published).outputs["model"]}
    with pytest.raises(BadInput, match="has no tokenizer, which a GGUF file needs"):
        run(workspace, "export-model", bare, format="gguf", to=tmp_path / "bare.gguf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Tiny Pythia", "graph", "tiny.gguf", "workspace"]


def test_a_quantised_model_gets_a_name_of_its_own_and_leaves_the_newest_version_to_the_whole_one(
    published: Path, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    model = run(workspace, "import-model", path=published).outputs["model"]
    small = run(workspace, "quantize", {"model": model}, method="int8").outputs["model"]
    assert small.name == "tiny-pythia-int8"
    assert workspace.artifacts.get("model", "tiny-pythia").reference == model.reference
