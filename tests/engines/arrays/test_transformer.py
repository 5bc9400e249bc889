"""What the arrays engine promises besides its numbers: caches, threads, memory, and words for what it refuses."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import ThreadpoolController, threadpool_limits

from glassbox.engines import arrays, tensors
from glassbox.engines.arrays import shares
from glassbox.engines.arrays.network import Network
from glassbox.engines.arrays.optimizer import Adam, AdamW
from glassbox.errors import BadInput
from glassbox.spec import Experts, ModelSpec, preset

SPEC = ModelSpec(vocabulary_size=11, context=8, width=16, layers=2, heads=4, initial_std=0.5)
CLASSIFIER = SPEC.replace(kind="encoder", head="classes", classes=3)
TOKENS = np.random.default_rng(0).integers(0, 11, (5, 8))
TARGETS = np.where(np.random.default_rng(1).random((5, 8)) < 0.3, -1, TOKENS)

CACHED = [
    {},
    {"positions": "learned", "norm": "layer"},
    {"positions": "sinusoidal", "qk_norm": True},
    {"positions": "alibi", "key_value_heads": 2},
    {"positions": "none", "window": 3, "value_embeddings": True},
    {"window": 2, "key_value_heads": 1},
]


@pytest.mark.parametrize("fields", CACHED)
def test_reading_with_a_cache_gives_the_logits_of_reading_at_once(fields: dict[str, Any]):
    model = arrays.Transformer(SPEC.replace(**fields), dtype=np.float64)
    expected, _ = model.forward(TOKENS)
    cache = arrays.Cache(model.spec, 5, 8, np.float64)
    pieces = [model.forward(TOKENS[:, start:end], cache=cache)[0] for start, end in ((0, 3), (3, 4), (4, 6), (6, 8))]
    np.testing.assert_allclose(np.concatenate(pieces, 1), expected, atol=1e-12)
    assert cache.length == 8


def test_padding_stays_unseen_with_a_cache_too():
    model = arrays.Transformer(SPEC, dtype=np.float64)
    present = TOKENS > 2
    expected, _ = model.forward(TOKENS, present=present)
    cache = arrays.Cache(SPEC, 5, 8, np.float64)
    first, _ = model.forward(TOKENS[:, :5], present=present[:, :5], cache=cache)
    second, _ = model.forward(TOKENS[:, 5:], present=present, cache=cache)
    np.testing.assert_allclose(np.concatenate((first, second), 1), expected, atol=1e-12)


@pytest.mark.parametrize("fields", [*CACHED, {"kind": "encoder"}])
def test_generation_is_what_the_plain_definition_gives_also_beyond_the_context(fields: dict[str, Any]):
    model = arrays.Transformer(SPEC.replace(**fields), dtype=np.float64)
    for prompt in ([3], [1, 2, 3, 4, 5, 6, 7, 8], list(range(10))):
        plain = super(arrays.Transformer, model).generate(prompt, 14)
        assert model.generate(prompt, 14) == plain
        assert len(plain) == len(prompt) + 14
    assert model.generate([1, 2], 0) == [1, 2]


def test_generation_asks_choose_for_every_token():
    model = arrays.Transformer(SPEC)
    asked: list[tuple[int, ...]] = []

    def choose(logits: Any) -> int:
        asked.append(logits.shape)
        return 7

    assert model.generate([1], 10, choose) == [1] + [7] * 10
    assert asked == [(11,)] * 10


MIXTURE = SPEC.replace(experts=Experts(count=4, active=2, hidden_width=3, balance=0.5))
BOTH = MIXTURE.replace(kind="encoder-decoder", encoder_layers=1, positions="relative")
TYPED = CLASSIFIER.replace(token_types=3, output_transform=True)
SHARED = [SPEC, CLASSIFIER, SPEC.replace(tied_embeddings=True, norm="layer", norm_bias=True), MIXTURE, BOTH, TYPED]


@pytest.mark.parametrize("spec", SHARED)
@pytest.mark.parametrize("padded", [False, True])
def test_threads_share_a_batch_and_get_the_gradients_of_one(
    spec: ModelSpec, padded: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shares, "WORTH_A_THREAD", 1)
    targets = TARGETS[:, 0] % 3 if spec.head == "classes" else TARGETS
    given: dict[str, Any] = {"present": TOKENS > 2} if padded else {}
    if spec is BOTH:
        given |= {"source": TOKENS[:, :4], "source_present": np.arange(4) < np.arange(1, 1 + len(TOKENS))[:, None]}
    if spec is TYPED:
        given |= {"types": TOKENS % 3}
    alone, together = (arrays.Transformer(spec, dtype=np.float64, threads=threads) for threads in (1, 3))
    for _ in range(2):  # the second time adds to the first
        expected, details = alone.forward(TOKENS, targets, **given)
        alone.backward(details)
        logits, shared = together.forward(TOKENS, targets, **given)
        together.backward(shared)
        np.testing.assert_allclose(logits, expected, atol=1e-12)
        assert shared.loss is not None
        assert shared.loss.item() == pytest.approx(details.loss, rel=1e-12)
        assert (shared.balance is None) == (spec.experts is None)
        if details.balance is not None:
            assert shared.balance == pytest.approx(details.balance, rel=1e-12)
    assert len(together.shares.networks) == 3
    np.testing.assert_array_equal(together.forward(TOKENS, **given)[0], logits)
    for name, gradient in alone.gradients().items():
        np.testing.assert_allclose(together.gradients()[name], gradient, atol=1e-12, err_msg=name)


def test_the_matrix_library_is_kept_to_one_thread_where_threads_share_the_batch(monkeypatch: pytest.MonkeyPatch):
    seen: list[int] = []

    def look(*_: Any) -> list[Any]:
        libraries = ThreadpoolController().select(user_api="blas").info()  # other tests may have loaded SciPy's too
        own = [library for library in libraries if "numpy" in library["filepath"]] or libraries
        seen.extend(library["num_threads"] for library in own)
        return []

    with threadpool_limits(2, user_api="blas"):
        for threads, rows, worth in ((2, 2, 1), (1, 2, 1), (2, 1, 2**14), (2, 1, 1), (2, 2, 2**14)):
            model = arrays.Transformer(SPEC.replace(width=64, context=40), threads=threads)
            monkeypatch.setattr(shares, "WORTH_A_THREAD", worth)
            model.forward(np.zeros((rows, 20), int))
            monkeypatch.setattr(Network, "backward", look)
            model.shares.backward()
            monkeypatch.undo()
    # shared; one thread asked for; too little to share; one long row, which the library may share; too little again
    assert seen == [1, 1, 1, 1, 2, 1]


def test_a_small_batch_is_not_worth_a_thread():
    model = arrays.Transformer(SPEC, threads=4)
    model.train_step(TOKENS, TARGETS, Adam(model))
    assert len(model.shares.networks) == 1


def test_the_first_fault_in_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shares, "WORTH_A_THREAD", 1)
    model = arrays.Transformer(SPEC, threads=2)
    _, details = model.forward(TOKENS, TARGETS)
    monkeypatch.setattr(model.shares.networks[1], "backward", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.backward(details)


def test_gradients_add_up_until_they_are_forgotten():
    model = arrays.Transformer(SPEC, dtype=np.float64)
    assert model.gradients() == {}
    _, details = model.forward(TOKENS, TARGETS)
    model.backward(details)
    once = {name: gradient.copy() for name, gradient in model.gradients().items()}
    _, details = model.forward(TOKENS, TARGETS)
    model.backward(details)
    for name, gradient in model.gradients().items():
        np.testing.assert_allclose(gradient, 2 * once[name], rtol=1e-12)
    model.zero_grad()
    assert model.gradients() == {}
    _, details = model.forward(TOKENS, TARGETS)
    model.backward(details)
    np.testing.assert_array_equal(model.gradients()["output.weight"], once["output.weight"])


def test_only_the_latest_forward_pass_goes_backward_and_once():
    model = arrays.Transformer(SPEC)
    _, early = model.forward(TOKENS, TARGETS)
    _, late = model.forward(TOKENS, TARGETS)
    with pytest.raises(AssertionError):
        model.backward(early)
    model.backward(late)
    with pytest.raises(AssertionError):
        model.backward(late)
    _, cached = model.forward(TOKENS, TARGETS, cache=arrays.Cache(SPEC, 5, 8))
    assert cached.loss == pytest.approx(late.loss, rel=1e-6)
    with pytest.raises(AssertionError):
        model.backward(cached)
    _, without = model.forward(TOKENS)
    with pytest.raises(AssertionError):
        model.backward(without)


def test_float32_is_close_to_pytorch():
    theirs, ours = tensors.Transformer(SPEC, seed=5), arrays.Transformer(SPEC, seed=5)
    logits, details = ours.forward(TOKENS, TARGETS)
    expected, their_details = theirs.forward(torch.tensor(TOKENS), torch.tensor(TARGETS))
    ours.backward(details)
    theirs.backward(their_details)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected.detach().numpy(), atol=1e-5)
    for name, gradient in theirs.gradients().items():
        assert ours.gradients()[name].dtype == np.float32
        np.testing.assert_allclose(ours.gradients()[name], gradient.numpy(), atol=1e-5, err_msg=name)


def test_no_step_leaves_memory_behind():
    model = arrays.Transformer(SPEC, threads=2)
    optimizer = AdamW(model)
    gc.collect()
    gc.disable()  # what only the garbage collector would free is memory left behind too
    tracemalloc.start()
    try:
        for _ in range(5):  # what each part holds for the backward pass takes the place of what it held before
            model.train_step(TOKENS, TARGETS, optimizer)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            model.train_step(TOKENS, TARGETS, optimizer)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()
    assert grown < 200 * 50, f"{grown} bytes after 200 steps"  # one small array kept a step is more


def test_training_lowers_the_loss():
    model = arrays.Transformer(preset("microgpt"), seed=1)
    optimizer = Adam(model, 0.01)
    tokens = np.array([[26, 4, 12, 12, 0]])
    losses = [model.train_step(tokens, np.array([[4, 12, 12, 0, 26]]), optimizer) for _ in range(40)]
    assert losses[-1] < 0.1 < 3 < losses[0]


def test_values_not_asked_for_are_not_given_and_an_unknown_name_is_refused():
    model = arrays.Transformer(SPEC)
    assert model.forward(TOKENS)[1].values == {}
    _, details = model.forward(TOKENS, keep=["blocks.*.attention.weights"])
    assert list(details.values) == ["blocks.0.attention.weights", "blocks.1.attention.weights"]
    np.testing.assert_allclose(details.values["blocks.0.attention.weights"].sum(-1), 1, atol=1e-6)
    with pytest.raises(BadInput, match="no intermediate value"):
        model.forward(TOKENS, keep=["attention"])


def test_asking_for_values_changes_no_gradient():
    plain, asked = (arrays.Transformer(SPEC, dtype=np.float64) for _ in range(2))
    for model, keep in ((plain, ()), (asked, "*")):
        _, details = model.forward(TOKENS, TARGETS, keep=keep)
        model.backward(details)
    np.testing.assert_array_equal(plain.parameters.gradients, asked.parameters.gradients)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ([[1, 11]], "token 11 is outside of 0 to 10"),
        ([[1, -1]], "token -1 is outside"),
        ([[1, 2], [3]], "different lengths"),
        ([1, 2], "shape"),
        ([[]], "shape"),
        (np.zeros((0, 3), int), "shape"),
        ([[1.0, 2.0]], "whole numbers"),
        ([["a"]], "whole numbers"),
        ([[0] * 9], "room for 8"),
    ],
)
def test_tokens_that_cannot_be_read_are_refused(tokens: Any, said: str):
    with pytest.raises(BadInput, match=said):
        arrays.Transformer(SPEC).forward(tokens)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ([[1, 11]], "target 11 is outside"),
        ([[1, -2]], "target -2 is outside"),
        ([[-1, -1]], "No target counts"),
        ([[1]], "shape"),
        ([[0.5, 1]], "whole numbers"),
    ],
)
def test_targets_that_cannot_be_learned_are_refused(targets: Any, said: str):
    with pytest.raises(BadInput, match=said):
        arrays.Transformer(SPEC).forward([[1, 2]], targets)


def test_other_things_that_cannot_be_used_are_refused():
    model = arrays.Transformer(SPEC)
    with pytest.raises(BadInput, match="`present` has the shape"):
        model.forward(TOKENS, present=[True])
    with pytest.raises(BadInput, match="different lengths"):
        model.forward(TOKENS, present=[[True], [True, False]])
    with pytest.raises(BadInput, match="room for 2"):
        model.forward(TOKENS, cache=arrays.Cache(SPEC, 5, 2))
    with pytest.raises(BadInput, match="prompt is empty"):
        model.generate([], 3)
    with pytest.raises(BadInput, match="classifier"):
        arrays.Transformer(CLASSIFIER).generate([1], 3)
    for dtype in (np.float16, int, None, "nothing"):
        with pytest.raises(BadInput, match="float32 or float64"):
            arrays.Transformer(SPEC, dtype=dtype)


def test_weights_that_do_not_fit_are_refused_and_nothing_changes():
    model = arrays.Transformer(SPEC)
    before = model.parameters.values.copy()
    good = {name: np.ones_like(weight) for name, weight in model.weights().items()}
    for wrong, said in (
        ({name: weight for name, weight in good.items() if name != "output.weight"}, "lack output.weight"),
        (good | {"output.weight": np.ones((2, 2))}, r"has shape \(2, 2\)"),
        (good | {"extra": np.ones(2)}, "hold extra"),
        (good | {"output.weight": "text"}, "no array of numbers"),
    ):
        with pytest.raises(BadInput, match=said):
            model.load_weights(wrong)
        np.testing.assert_array_equal(model.parameters.values, before)
    model.load_weights(good)
    assert (model.parameters.values == 1).all()


def test_a_weight_given_out_is_the_weight_itself():
    model = arrays.Transformer(SPEC)
    before, _ = model.forward(TOKENS)
    model.weights()["blocks.0.attention.key"][...] = 0
    after, _ = model.forward(TOKENS)
    assert not np.array_equal(before, after)
