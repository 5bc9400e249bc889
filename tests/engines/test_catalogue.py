"""All engines behind one face: building, optimising, clipping, saving, padding."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from glassbox.engines.catalogue import ENGINES, as_array, engine
from glassbox.engines.model_files import load_arrays, load_model, save_arrays, save_model
from glassbox.engines.padding import forward, padded
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, weight_shapes
from glassbox.tokenizers.digits import PADDING

DECODER = ModelSpec(vocabulary_size=7, context=6, width=8, layers=1, heads=2, hidden_width=8)
CLASSIFIER = DECODER.replace(kind="encoder", head="classes", classes=3, positions="sinusoidal")
TOKENS, TARGETS = [[1, 2, 3], [4, 5, 6]], [[2, 3, -1], [5, 6, 0]]
EACH = pytest.mark.parametrize("name", ENGINES)


def test_each_engine_is_there_with_a_line_about_it():
    assert list(ENGINES) == ["scalars", "lists", "arrays", "tensors"]
    assert all(ENGINES.values())


def test_listing_engines_imports_none():
    code = (
        "import sys; from glassbox.engines.catalogue import ENGINES, engine; [engine(name) for name in ENGINES];"
        "print([name for name in ('torch', *(f'glassbox.engines.{one}' for one in ENGINES)) if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_an_unknown_engine_is_answered_with_those_that_there_are():
    with pytest.raises(BadInput, match="no engine called 'jax'") as caught:
        engine("jax")
    assert "scalars, lists, arrays, tensors" in caught.value.remedy


@EACH
def test_an_unknown_optimiser_is_answered_with_those_of_the_engine(name):
    chosen = engine(name)
    with pytest.raises(BadInput, match=f"The {name} engine has no optimiser called 'lion'") as caught:
        chosen.optimizer("lion", chosen.transformer(DECODER), 0.1)
    assert ("muon" in caught.value.remedy) == (name == "tensors")


@EACH
def test_a_precision_that_the_engine_does_not_compute_in_is_refused(name):
    chosen = engine(name)
    if name in ("arrays", "tensors"):
        for precision in ("float32", "float64"):
            model = chosen.transformer(DECODER, precision=precision)
            assert as_array(model.weights()["output.weight"]).dtype == precision
        assert as_array(chosen.transformer(DECODER).weights()["output.weight"]).dtype == "float32"
    else:
        assert as_array(chosen.transformer(DECODER).weights()["output.weight"]).dtype == "float64"
        with pytest.raises(BadInput, match="Python's numbers, which are float64"):
            chosen.transformer(DECODER, precision="float32")


@EACH
def test_the_seed_draws_the_same_weights_in_every_engine(name):
    theirs = engine("arrays").transformer(DECODER, seed=5).weights()
    for weight, value in engine(name).transformer(DECODER, seed=5).weights().items():
        np.testing.assert_array_equal(as_array(value), theirs[weight])


@EACH
def test_weights_that_are_given_are_kept_to_the_last_bit_in_float64(name):
    random = np.random.default_rng(0)
    given = {weight: random.normal(size=shape) for weight, shape in weight_shapes(DECODER).items()}
    for weight, value in engine(name).transformer(DECODER, weights=given, precision="float64").weights().items():
        np.testing.assert_array_equal(as_array(value), given[weight])


@EACH
@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_the_learning_rate_is_set_before_a_step_and_decides_how_far_it_goes(name, kind):
    chosen = engine(name)
    model = chosen.transformer(DECODER, precision="float64")
    optimizer = chosen.optimizer(kind, model, 0.5)
    assert optimizer.learning_rate == 0.5
    before = {weight: as_array(value).copy() for weight, value in model.weights().items()}
    optimizer.learning_rate = 0.0
    model.train_step(model.batch(TOKENS), model.batch(TARGETS), optimizer)
    for weight, value in model.weights().items():
        np.testing.assert_array_equal(as_array(value), before[weight])
    optimizer.learning_rate = 0.25
    assert optimizer.learning_rate == 0.25
    model.train_step(model.batch(TOKENS), model.batch(TARGETS), optimizer)
    assert any((as_array(value) != before[weight]).any() for weight, value in model.weights().items())


def test_the_groups_of_muon_keep_their_proportion_when_the_learning_rate_is_set():
    chosen = engine("tensors")
    optimizer = chosen.optimizer("muon", chosen.transformer(DECODER), 0.02, embedding_rate=0.1)
    optimizer.learning_rate = 0.01
    assert optimizer.learning_rate == pytest.approx(0.01)
    assert 0.05 in [pytest.approx(group["lr"]) for group in optimizer.param_groups]


@EACH
def test_clipping_returns_the_norm_and_leaves_the_limit(name):
    chosen = engine(name)
    model = chosen.transformer(DECODER, seed=1, precision="float64")
    assert chosen.clip_gradients(model, 1.0) == 0.0
    _, details = model.forward(model.batch(TOKENS), model.batch(TARGETS))
    model.backward(details)
    norm = np.sqrt(sum((as_array(one) ** 2).sum() for one in model.gradients().values()))
    assert chosen.clip_gradients(model, 1e9) == pytest.approx(norm, rel=1e-12)  # nothing to clip
    assert chosen.clip_gradients(model, norm / 7) == pytest.approx(norm, rel=1e-12)
    assert chosen.clip_gradients(model, 1e9) == pytest.approx(norm / 7, rel=1e-12)


@EACH
@pytest.mark.parametrize("spec", [DECODER, CLASSIFIER], ids=["decoder", "classifier"])
def test_padding_changes_nothing(name, spec):
    model = engine(name).transformer(spec, seed=3, precision="float64")
    rows = [[1, 2], [3, 4, 5, 6], [2, 0, 1]]
    together = as_array(forward(model, *padded(rows, PADDING))[0])
    for place, row in enumerate(rows):
        alone = as_array(forward(model, *padded([row], PADDING))[0])[0]
        theirs = together[place] if spec.head == "classes" else together[place, : len(row)]
        np.testing.assert_allclose(theirs, alone, rtol=0, atol=1e-12)


def test_rows_of_one_length_need_no_padding():
    tokens, lengths = padded([[1, 2], [3, 4]], 9)
    assert tokens.tolist() == [[1, 2], [3, 4]]
    assert lengths.tolist() == [2, 2]
    tokens, _ = padded([[1], [2, 3, 4]], 9)
    assert tokens.tolist() == [[1, 9, 9], [2, 3, 4]]


@EACH
@pytest.mark.parametrize("other", ENGINES)
def test_a_model_saved_by_one_engine_is_read_by_any(name, other, tmp_path: Path):
    model = engine(name).transformer(CLASSIFIER, seed=2)
    save_model(model, tmp_path)
    read = load_model(tmp_path, engine(other))
    assert read.spec == model.spec
    for weight, value in read.weights().items():
        np.testing.assert_array_equal(as_array(value), as_array(model.weights()[weight]))


def test_a_file_cut_short_is_refused(tmp_path: Path):
    file = tmp_path / "some.safetensors"
    save_arrays({"a": [[1.0, 2.0]]}, file)
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(BadInput, match="should have"):
        load_arrays(file)
    with pytest.raises(BadInput, match="can't be read"):
        load_arrays(tmp_path / "missing.safetensors")
