"""The graph of any model gives our logits in onnxruntime."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from published_models import MODELS, save_tokenizer, saved, tokens, transformers

from glassbox.engines.tensors import Transformer, load_model, save_model
from glassbox.errors import BadInput
from glassbox.hub import Import, ModelFiles
from glassbox.hub.onnx.exporting import OnnxExport
from glassbox.spec import ModelSpec, RotaryScaling, preset, weight_shapes
from glassbox.spec.model import Activation
from glassbox.tokenizers.huggingface import HuggingFaceTokenizer

onnx: Any = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime: Any = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def session(folder: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])


def logits_of(running: Any, tokens: Any) -> Any:
    return torch.from_numpy(running.run(["logits"], {"tokens": np.asarray(tokens)})[0])


@st.composite
def specs(draw: st.DrawFn) -> ModelSpec:
    """Any decoder or encoder without experts and relative positions."""
    heads, key_value_heads = draw(st.sampled_from([(1, 1), (4, 4), (4, 2), (4, 1), (3, 3), (6, 2)]))
    kind, norm = draw(st.sampled_from(["decoder", "encoder"])), draw(st.sampled_from(["layer", "rms", "group", "none"]))
    positions = draw(st.sampled_from(["learned", "sinusoidal", "rotary", "alibi", "none"]))
    gain = draw(st.booleans())
    placement = "pre" if norm == "none" else draw(st.sampled_from(["pre", "post", "sandwich"]))
    fields: dict[str, Any] = {
        "kind": kind, "vocabulary_size": 13, "context": 12, "width": 12, "layers": draw(st.integers(1, 2)),
        "heads": heads, "key_value_heads": key_value_heads, "head_width": 4,
        "window": draw(st.sampled_from([None, 1, 3])), "qk_norm": draw(st.booleans()),
        "score_scale": draw(st.sampled_from([0.5, 1.0])),
        "attention_bias": draw(st.sampled_from(["none", "inputs", "all"])),
        "value_embeddings": kind == "decoder" and draw(st.booleans()), "positions": positions,
        "activation": draw(st.sampled_from(get_args(Activation))),
        "feedforward_bias": draw(st.booleans()), "norm": norm, "norm_placement": placement, "norm_gain": gain,
        "norm_bias": gain and norm in ("layer", "group") and draw(st.booleans()),
        "norm_groups": 3 if norm == "group" else 1, "embedding_norm": norm != "none" and draw(st.booleans()),
        "final_norm": draw(st.booleans()), "parallel_residual": placement == "pre" and draw(st.booleans()),
        "tied_embeddings": draw(st.booleans()), "embedding_scale": draw(st.sampled_from([1.0, 2.5])),
        "output_bias": draw(st.booleans()), "logit_scale": draw(st.sampled_from([1.0, 0.5])),
        "logit_softcap": draw(st.sampled_from([None, 2.0])),
    }  # fmt: skip
    if positions == "rotary":
        fields["rotary_fraction"] = draw(st.sampled_from([1.0, 0.5]))
        llama3 = RotaryScaling(kind="llama3", factor=8, original_context=16, fast_turns=2, slow_turns=0.5)
        fields["rotary_scaling"] = draw(st.sampled_from([None, RotaryScaling(kind="linear", factor=2), llama3]))
    if kind == "encoder" and draw(st.booleans()):
        fields |= {"head": "classes", "classes": 3, "tied_embeddings": False}
    return ModelSpec.checked(fields)


@settings(max_examples=60)
@given(spec=specs(), seed=st.integers(0, 1000), batch=st.integers(1, 3), length=st.integers(1, 12))
def test_any_model_gives_the_same_logits(spec: ModelSpec, seed: int, batch: int, length: int) -> None:
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in weight_shapes(spec).items():
        spread = shape[-1] ** -0.5 if len(shape) > 1 else 0.3
        weights[name] = generator.normal(name.endswith("gain"), spread, shape).astype(np.float32)
    model = Transformer(spec, weights=weights).eval()
    given_tokens = generator.integers(0, 13, (batch, length))
    with torch.no_grad():
        expected = model(torch.from_numpy(given_tokens))[0]
    assume(bool(expected.isfinite().all()) and float(expected.abs().max()) < 1e3)
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder))
        target = Path(folder) / "onnx"
        target.mkdir()
        OnnxExport(ModelFiles(Path(folder))).write(target, None)
        onnx.checker.check_model(target / "model.onnx", full_check=True)
        found = logits_of(session(target), given_tokens)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * (1 + float(expected.abs().max())))


@pytest.mark.parametrize("name", [name for name in MODELS if name != "mixtral"])
def test_a_published_model_gives_the_same_logits_as_in_transformers(name: str, tmp_path: Path) -> None:
    theirs = saved(name, tmp_path / "theirs")
    save_tokenizer(tmp_path / "theirs")
    for folder in ("ours", "onnx"):
        (tmp_path / folder).mkdir()
    Import(tmp_path / "theirs").write(tmp_path / "ours")
    tokenizer = HuggingFaceTokenizer.from_tokenizer_json(tmp_path / "theirs" / "tokenizer.json")
    done: list[tuple[int, int]] = []
    OnnxExport(ModelFiles(tmp_path / "ours")).write(
        tmp_path / "onnx", tokenizer, progress=lambda *both: done.append(both)
    )
    with torch.no_grad():
        expected = theirs(tokens()).logits
        torch.testing.assert_close(load_model(tmp_path / "ours")(tokens())[0], expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(logits_of(session(tmp_path / "onnx"), tokens()), expected, rtol=0, atol=1e-4)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "onnx")
    assert again.encode("She sells") == tokenizer.encode("She sells")
    assert done[-1][0] == done[-1][1]


def test_values_keep_their_canonical_names(tmp_path: Path) -> None:
    save_model(Transformer(preset("microgpt")), tmp_path)
    (tmp_path / "onnx").mkdir()
    OnnxExport(ModelFiles(tmp_path)).write(tmp_path / "onnx", None)
    graph = onnx.load(tmp_path / "onnx" / "model.onnx").graph
    weights = {tensor.name for tensor in graph.initializer if tensor.name.startswith(("blocks", "embedding", "output"))}
    assert weights == set(weight_shapes(preset("microgpt")))
    made = {name for node in graph.node for name in node.output}
    assert {"blocks.0.attention.weights", "blocks.0.feedforward.hidden", "embedding.output", "logits"} <= made


def test_a_text_longer_than_the_context_is_refused_where_positions_are_a_table(tmp_path: Path) -> None:
    save_model(Transformer(preset("microgpt")), tmp_path)
    (tmp_path / "onnx").mkdir()
    OnnxExport(ModelFiles(tmp_path)).write(tmp_path / "onnx", None)
    with pytest.raises(Exception, match=r"(?i)indices|bounds"):
        logits_of(session(tmp_path / "onnx"), np.zeros((1, 17), np.int64))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"experts": {"count": 2, "active": 1, "hidden_width": 8}}, "no mixtures of experts"),
        ({"positions": "relative"}, "no relative positions"),
        ({"kind": "encoder-decoder", "encoder_layers": 1}, "no encoder-decoders"),
    ],
)
def test_what_the_graph_cannot_say_is_refused(changes: dict[str, Any], said: str) -> None:
    from glassbox.hub.onnx.transformer import check_carried

    spec = ModelSpec.checked({"vocabulary_size": 9, "context": 8, "width": 8, "layers": 1, "heads": 2, **changes})
    with pytest.raises(BadInput, match=said):
        check_carried(spec)
