"""Weights in 8 and 4 bits: what is kept, what is lost, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox.data.shards import Shards
from glassbox.engines.tensors import Transformer, load_model, save_model
from glassbox.engines.tensors.quantized import METHODS, TABLES, Method, Quantization, QuantizedTransformer
from glassbox.errors import BadInput
from glassbox.evaluation.held_out import held_out
from glassbox.generation import Decoder, Decoding
from glassbox.spec import Experts, ModelSpec
from glassbox.stages.execution import execute
from glassbox.stages.registry import load_stage
from glassbox.workspace import Artifact, Workspace

SPEC = ModelSpec(vocabulary_size=50, context=32, width=64, layers=2, heads=4, activation="swiglu", initial_std=0.2)

# https://arxiv.org/abs/2305.14314, appendix E
PUBLISHED = [
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
]  # fmt: skip


def decoded(quantization: Quantization, weight: torch.Tensor) -> torch.Tensor:
    return quantization.decoder()(*quantization.code(weight), weight.shape[-1])


def test_normal_floats_are_the_published_ones() -> None:
    torch.testing.assert_close(torch.tensor(TABLES["nf4"]), torch.tensor(PUBLISHED), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40)
@given(
    shape=st.sampled_from([(1, 1), (3, 7), (2, 64), (5, 65), (2, 3, 10)]),
    group_size=st.sampled_from([0, 2, 8, 64]),
    seed=st.integers(0, 1000),
    size=st.sampled_from([1e-4, 1.0, 1e3]),
)
def test_no_number_moves_further_than_half_a_step(
    method: Method, shape: Any, group_size: int, seed: int, size: float
) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * size
    quantization = Quantization(method, group_size)
    _, length = quantization.groups(shape[-1])
    back = decoded(quantization, weight)
    assert back.shape == weight.shape
    codes, scales = quantization.code(weight)
    assert (tuple(codes.shape), tuple(scales.shape)) == quantization.shapes(shape)
    scales = scales.float().repeat_interleave(length, -1)[..., : shape[-1]]
    if method == "int8":
        gap = torch.full_like(weight, 1 / 127)
    else:
        table = torch.tensor(TABLES[method])
        places = torch.bucketize((weight / scales.clamp(min=1e-30)).clamp(-1, 1), table).clamp(1, len(table) - 1)
        gap = table[places] - table[places - 1]
    # The scale itself is rounded to float16 where it is one, which may leave the largest a little outside.
    assert ((weight - back).abs() <= scales * (gap / 2 + 6e-4) + 1e-6 * size).all()
    torch.testing.assert_close(decoded(quantization, back), back, rtol=2e-3, atol=1e-7)  # again changes nothing


@pytest.mark.parametrize("method", METHODS)
def test_nothing_but_zeros_stays_nothing_but_zeros(method: Method) -> None:
    assert (decoded(Quantization(method, 0), torch.zeros(3, 8)) == 0).all()


@pytest.mark.parametrize("method", ["int4", "nf4"])
def test_a_weight_too_large_for_its_scale_is_refused(method: Method) -> None:
    with pytest.raises(BadInput, match="100000, too large for the scales"):
        Quantization(method, 0).code(torch.full((1, 2), 1e5))


@pytest.mark.parametrize(("method", "group_size"), [("int3", 0), ("int8", -2), ("nf4", 3), ("nf4", True), (None, 0)])
def test_a_quantization_that_makes_no_sense_is_refused(method: Any, group_size: Any) -> None:
    with pytest.raises(BadInput):
        Quantization(method, group_size)


def quantized(model: Transformer, tmp_path: Path, **options: Any) -> Artifact:
    workspace = Workspace(tmp_path / "workspace")
    with workspace.artifacts.draft("model", "small") as draft:
        save_model(model, draft.folder)
        (draft.folder / "training.json").write_text("{}")
        (draft.folder / "tokenizer").mkdir()
        (draft.folder / "tokenizer" / "glassbox.json").write_text("{}")
    stage = load_stage("quantize")
    return execute(stage, stage.settings(**options), workspace, {"model": draft.artifact}).outputs["model"]


SPECS = {
    "a decoder": SPEC,
    "tied, biased, normalised": SPEC.replace(
        tied_embeddings=True, attention_bias="all", feedforward_bias=True, activation="gelu", qk_norm=True,
        positions="learned",
    ),
    "experts": SPEC.replace(experts=Experts(count=4, active=2, hidden_width=48, shared=1)),
    "an encoder and a decoder": SPEC.replace(kind="encoder-decoder", encoder_layers=1, positions="relative"),
    "an encoder that finds words": SPEC.replace(
        kind="encoder", token_types=2, output_transform=True, activation="gelu", norm="layer", norm_bias=True
    ),
    "an odd width": SPEC.replace(width=33, heads=3, head_width=4),
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", SPECS)
def test_a_quantised_model_computes_with_the_numbers_its_codes_stand_for(
    kind: str, method: Method, tmp_path: Path
) -> None:
    model = Transformer(SPECS[kind], seed=3).eval()
    loaded = load_model(quantized(model, tmp_path, method=method).folder)
    assert isinstance(loaded, QuantizedTransformer)
    weights = loaded.weights()
    assert list(weights) == list(model.weights())
    for name, weight in model.weights().items():
        if weight.ndim == 1 or "router" in name or "positions" in name or "types" in name:
            assert torch.equal(weights[name], weight)
        else:
            error = float((weights[name] - weight).norm() / weight.norm())
            assert 0 < error < (0.01 if method == "int8" else 0.15)
    tokens = torch.randint(0, 50, (2, 20), generator=torch.Generator().manual_seed(0))
    same = Transformer(SPECS[kind], weights=weights).eval()
    source = tokens.flip(1) if model.spec.kind == "encoder-decoder" else None
    with torch.no_grad():
        torch.testing.assert_close(loaded(tokens, source=source)[0], same(tokens, source=source)[0])
    if model.spec.kind != "decoder":
        return
    written, expected = (
        [each.ids for each in Decoder(each).tokens([[1, 2, 3]], Decoding(max_tokens=8, temperature=0))]
        for each in (loaded, same)
    )
    assert written == expected


def test_memory_holds_codes_and_no_numbers(tmp_path: Path) -> None:
    model = Transformer(SPEC, seed=3)
    loaded = load_model(quantized(model, tmp_path, method="nf4", group_size=64).folder)
    held = sum(each.numel() * each.element_size() for each in (*loaded.buffers(), *loaded.parameters()))
    numbers = sum(math.prod(weight.shape) for weight in model.weights().values())
    assert held < numbers * 0.65


def test_it_neither_learns_nor_takes_other_weights(tmp_path: Path) -> None:
    loaded = load_model(quantized(Transformer(SPEC), tmp_path).folder)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    with pytest.raises(BadInput, match="can't be changed"):
        loaded.load_weights(Transformer(SPEC).weights())


def test_the_tokenizer_and_the_story_go_along(tmp_path: Path) -> None:
    folder = quantized(Transformer(SPEC), tmp_path).folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json", "model.safetensors", "quantization.json", "spec.json", "tokenizer", "training.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "should hold a JSON object"),
        ('{"method": "nf5", "group_size": 32}', "No quantisation is called 'nf5'"),
        ('{"method": "nf4", "group_size": "32"}', "A group of '32'"),
        ('{"method": "int8", "group_size": 0}', r"should have the shape .*, and is torch.uint8"),
        ('{"method": "nf4", "group_size": 16}', "should have the shape"),
    ],
)
def test_codes_that_are_read_as_what_they_are_not_are_refused(content: str, said: str, tmp_path: Path) -> None:
    folder = quantized(Transformer(SPEC), tmp_path).folder
    (folder / "quantization.json").write_text(content)
    with pytest.raises(BadInput, match=said):
        load_model(folder)


def test_missing_and_strange_tensors_are_refused(tmp_path: Path) -> None:
    from glassbox.engines.tensors import load_weights

    folder = quantized(Transformer(SPEC), tmp_path).folder
    tensors = load_weights(folder / "model.safetensors")
    quantization = Quantization(**json.loads((folder / "quantization.json").read_text()))
    with pytest.raises(BadInput, match="has no strange"):
        QuantizedTransformer(SPEC, quantization, {**tensors, "strange": torch.zeros(1)})
    tensors.pop("output.weight.scales")
    with pytest.raises(BadInput, match=r"output\.weight\.scales .* is missing"):
        QuantizedTransformer(SPEC, quantization, tensors)


def test_a_quantised_model_is_not_quantised_again_nor_read_by_other_engines(tmp_path: Path) -> None:
    from glassbox.engines import model_files
    from glassbox.engines.catalogue import engine

    model = quantized(Transformer(SPEC), tmp_path)
    stage = load_stage("quantize")
    with pytest.raises(BadInput, match="Choose a model that isn't quantised"):
        execute(stage, stage.settings(), Workspace(tmp_path / "workspace"), {"model": model})
    with pytest.raises(BadInput, match="quantised, and only the tensors engine"):
        model_files.load_model(model.folder, engine("arrays"))


@pytest.mark.slow
@pytest.mark.parametrize(("method", "most"), [("int8", 0.001), ("nf4", 0.02), ("int4", 0.02)])
def test_a_trained_model_loses_next_to_nothing(
    method: Method, most: float, trained: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    """Floors of the project, of bits per byte; and of the file, where rows are short and scales count the most."""
    model, shards = trained
    stage = load_stage("quantize")
    small = execute(stage, stage.settings(method=method), Workspace(tmp_path / "workspace"), {"model": model})
    split = Shards(shards.folder).split("validation")
    before, after = (held_out(load_model(each.folder), split) for each in (model, small.outputs["model"]))
    assert after.bits_per_byte / before.bits_per_byte - 1 < most
    assert float(str(small.result["share"])) < (0.27 if method == "int8" else 0.14)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Artifact]:
    """A model with the recipe's architecture that has learned enough for its weights to matter, and its text."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    made: dict[str, Artifact] = {}
    for name, options in {
        "collect": {"source": "python-docs"},
        "split": {},
        "train-tokenizer": {"vocabulary_size": 512},
        "tokenize": {},
        "pretrain": {
            "model": {"width": 64, "layers": 2, "heads": 2, "context": 64},
            "steps": 80,
            "batch_size": 32,
            "sample_every": 0,
            "evaluate_every": 0,
            "checkpoint_every": 0,
            "precision": "fp32",
            "micro_batch": None,
        },
    }.items():
        stage = load_stage(name)
        inputs = {slot: made[each.kind] for slot, each in stage.takes.items() if each.required}
        made |= {
            each.kind: each for each in execute(stage, stage.settings(**options), workspace, inputs).outputs.values()
        }
    return made["model"], made["shards"]
