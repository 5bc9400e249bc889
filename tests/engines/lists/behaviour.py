"""What the engines of plain Python promise besides PyTorch's numbers; each engine's tests inherit it."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from glassbox.engines import interface
from glassbox.engines.initialization import initial_weights
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, weight_shapes
from glassbox.spec.presets import preset
from lists.drawn import reference, weights_of

ROOT = Path(__file__).parents[3]
SPEC = ModelSpec(vocabulary_size=5, context=6, width=4, layers=2, heads=2, hidden_width=3, positions="learned")
TOKENS, TARGETS = [[1, 2, 0], [4, 4, 3]], [[2, 0, 1], [4, -1, 3]]

# Where each matrix of microgpt.py stands in ours.
MICROGPT_NAMES = {"wte": "embedding.tokens", "wpe": "embedding.positions", "lm_head": "output.weight"}
MICROGPT_PARTS = {
    "attn_wq": "attention.query",
    "attn_wk": "attention.key",
    "attn_wv": "attention.value",
    "attn_wo": "attention.output",
    "mlp_fc1": "feedforward.up",
    "mlp_fc2": "feedforward.down",
}

WITHOUT_LIBRARIES = """
import sys
sys.modules["numpy"] = sys.modules["torch"] = None  # importing them fails from here on
from glassbox.engines import {engine}
from glassbox.engines.{engine}.optimizer import Adam
from glassbox.spec import ModelSpec, weight_shapes
spec = ModelSpec(vocabulary_size=3, context=4, width=2, layers=1, heads=1)
filled = lambda shape: [filled(shape[1:]) for _ in range(shape[0])] if shape else 0.5
model = {engine}.Transformer(spec, weights={{name: filled(shape) for name, shape in weight_shapes(spec).items()}})
print(model.train_step([[0, 1]], [[1, 2]], Adam(model)), model.generate([0], 2))
"""


def plain(nested: Any) -> Any:
    """Nested lists of whatever reads as a number as nested lists of floats."""
    return [plain(inner) for inner in nested] if isinstance(nested, list) else float(nested)


@cache
def microgpt() -> Any:
    """The plain scalar program, as a module."""
    location = importlib.util.spec_from_file_location("microgpt", ROOT / "microgpt.py")
    assert location is not None
    assert location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


def assert_writing_agrees(engine: Any, spec: ModelSpec, seed: int, count: int) -> None:
    """With a cache, without one, and by PyTorch the same tokens are written: up to 12, where the context is 8."""
    if spec.head == "classes":
        spec = spec.replace(head="language", classes=0)
    weights, prompt = weights_of(spec, seed), [1, 0]
    model = engine.Transformer(spec, weights=weights)
    source = [1, 1, 0] if spec.kind == "encoder-decoder" else None
    anew = interface.Transformer.generate(model, prompt, count, source=source)
    assert model.generate(prompt, count, source=source) == anew
    assert interface.Transformer.generate(reference(spec, weights), prompt, count, source=source) == anew


class EngineBehaviour:
    """Inherit with the engine and its optimisers."""

    engine: ClassVar[Any]
    optimizer: ClassVar[Any]

    def model(self, spec: ModelSpec = SPEC, seed: int = 1) -> Any:
        return self.engine.Transformer(spec, weights=weights_of(spec, seed))

    # ---- weights ----
    def test_a_seed_gives_the_weights_that_every_engine_begins_with(self):
        weights = self.engine.Transformer(SPEC, 7).weights()
        expected = initial_weights(SPEC, 7)
        assert list(weights) == list(weight_shapes(SPEC))
        assert all(plain(weight) == expected[name].tolist() for name, weight in weights.items())

    def test_weights_move_to_and_from_tensors(self):
        model, other = self.model(), reference(SPEC, weights_of(SPEC, 2))
        model.load_weights(other.weights())
        moved = reference(SPEC, {name: np.array(weight, float) for name, weight in model.weights().items()})
        assert all(torch.equal(moved.weights()[name], weight) for name, weight in other.weights().items())

    def test_weights_move_between_the_plain_engines(self):
        from glassbox.engines import lists, scalars

        for engine in (lists, scalars):
            other = engine.Transformer(SPEC)
            other.load_weights(self.model().weights())
            assert plain(other.weights()["output.weight"]) == plain(self.model().weights()["output.weight"])

    def test_an_optimiser_made_before_loading_updates_the_weights_loaded(self):
        model = self.model()
        optimizer = self.optimizer.SGD(model, 0.1)
        model.load_weights(weights_of(SPEC, 2))
        model.train_step(TOKENS, TARGETS, optimizer)
        fresh = self.model(seed=2)
        fresh.train_step(TOKENS, TARGETS, self.optimizer.SGD(fresh, 0.1))
        assert {n: plain(w) for n, w in model.weights().items()} == {n: plain(w) for n, w in fresh.weights().items()}

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda w: w.pop("output.weight"), "lack output.weight, of shape (5, 4)"),
            (lambda w: w.update(extra=[1.0]), "hold extra"),
            (lambda w: w.update({"output.weight": [[0.0] * 4] * 6}), "output.weight has shape (6, 4), and this model"),
            (lambda w: w.update({"output.weight": [[0.0] * 4] * 4 + [[0.0]]}), "output.weight has shape"),
            (lambda w: w.update({"output.weight": [[0.0] * 4] * 4 + [0.0]}), "output.weight has shape"),
            (lambda w: w.update({"output.weight": [[0.0] * 4] * 4 + [["x"] * 4]}), "no number"),
            (lambda w: w.update({"output.weight": [[0.0] * 4] * 4 + [[None] * 4]}), "no number"),
            (lambda w: w.update({"final_norm.gain": 3.0}), "final_norm.gain has shape ()"),
            (lambda w: w.update({"final_norm.gain": []}), "final_norm.gain has shape (0,)"),
        ],
    )
    def test_weights_that_do_not_fit_are_named_and_nothing_changes(self, change: Any, said: str):
        model, weights = self.model(), {name: weight.tolist() for name, weight in weights_of(SPEC, 2).items()}
        before = {name: plain(weight) for name, weight in model.weights().items()}
        change(weights)
        with pytest.raises(BadInput) as refused:
            model.load_weights(weights)
        assert said in refused.value.problem
        assert {name: plain(weight) for name, weight in model.weights().items()} == before

    # ---- gradients ----
    def test_there_are_no_gradients_before_the_first_backward_and_after_zero_grad(self):
        model = self.model()
        assert model.gradients() == {}
        _, details = model.forward(TOKENS, TARGETS)
        model.backward(details)
        assert list(model.gradients()) == list(weight_shapes(SPEC))
        model.zero_grad()
        assert model.gradients() == {}

    def test_gradients_of_two_backwards_add_up_also_of_one_loss(self):
        model = self.model()
        _, details = model.forward(TOKENS, TARGETS)
        model.backward(details)
        once = {name: np.array(gradient) for name, gradient in model.gradients().items()}
        model.backward(details)
        _, details = model.forward(TOKENS, TARGETS)
        model.backward(details)
        for name, gradient in model.gradients().items():
            np.testing.assert_allclose(np.array(gradient), 3 * once[name], rtol=1e-12, atol=1e-15)

    def test_a_loss_can_go_backwards_after_another_forward_pass(self):
        model, other = self.model(), self.model()
        _, details = model.forward(TOKENS, TARGETS)
        model.forward([[0, 0, 0]], [[1, 1, 1]])
        model.backward(details)
        _, details = other.forward(TOKENS, TARGETS)
        other.backward(details)
        assert model.gradients() == other.gradients()

    def test_rows_may_have_different_lengths(self):
        model = self.model()
        logits, details = model.forward([[1, 2, 0], [4]], [[2, 0, 1], [3]])
        alone = [model.forward([row], [wanted]) for row, wanted in (([1, 2, 0], [2, 0, 1]), ([4], [3]))]
        assert plain(logits) == [plain(row_logits[0]) for row_logits, _ in alone]
        losses = [row_details.loss.item() for _, row_details in alone]
        assert details.loss.item() == pytest.approx((3 * losses[0] + losses[1]) / 4, rel=1e-12)

    def test_what_stands_in_padding_changes_nothing_for_the_others(self):
        spec = SPEC.replace(kind="encoder")
        model, present = self.model(spec), [[True, True, False]]
        with_one, _ = model.forward([[1, 2, 0]], present=present)
        with_another, _ = model.forward([[1, 2, 4]], present=present)
        without, _ = model.forward([[1, 2]])
        assert plain(with_one[0][:2]) == plain(with_another[0][:2]) == plain(without[0])

    # ---- values kept ----
    def test_only_the_values_asked_for_are_kept(self):
        _, details = self.model().forward(TOKENS, keep=["logits", "blocks.*.attention.weights"])
        assert sorted(details.values) == ["blocks.0.attention.weights", "blocks.1.attention.weights", "logits"]
        assert self.model().forward(TOKENS)[1].values == {}
        assert list(self.model().forward(TOKENS, keep="logits")[1].values) == ["logits"]

    def test_a_value_that_this_model_does_not_have_is_refused(self):
        with pytest.raises(BadInput, match=r"blocks\.\*\.attention\.weights"):
            self.model().forward(TOKENS, keep=["blocks.0.attention.entropy"])

    # ---- optimisers ----
    def test_clipping_scales_every_gradient_as_pytorch_does(self):
        weights = weights_of(SPEC, 1)
        ours, theirs = self.engine.Transformer(SPEC, weights=weights), reference(SPEC, weights)
        for limit in (1e9, 0.01):
            for model, inputs in ((ours, (TOKENS, TARGETS)), (theirs, (torch.tensor(TOKENS), torch.tensor(TARGETS)))):
                model.zero_grad()
                model.backward(model.forward(*inputs)[1])
            expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), limit).item()
            assert self.optimizer.clip_gradients(ours, limit) == pytest.approx(expected, rel=1e-9)
            for name, gradient in theirs.gradients().items():
                np.testing.assert_allclose(np.array(ours.gradients()[name]), gradient.numpy(), rtol=1e-4, atol=1e-15)

    def test_an_optimiser_without_gradients_changes_nothing(self):
        for name in self.optimizer.OPTIMIZERS:
            model = self.model()
            self.optimizer.OPTIMIZERS[name](model).step()
            assert plain(model.weights()["output.weight"]) == plain(self.model().weights()["output.weight"])

    @pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
    def test_training_goes_on_from_the_state_of_any_engine(self, name: str):
        from glassbox.engines.tensors.optimizer import OPTIMIZERS

        weights, (tokens, targets) = weights_of(SPEC, 1), (torch.tensor(TOKENS), torch.tensor(TARGETS))
        theirs = reference(SPEC, weights)
        their_optimizer = OPTIMIZERS[name](theirs, 0.01)
        theirs.train_step(tokens, targets, their_optimizer)

        ours = self.engine.Transformer(SPEC, weights=theirs.weights())
        optimizer = self.optimizer.OPTIMIZERS[name](ours, 0.01)
        optimizer.load_named_state(their_optimizer.named_state())
        again = self.optimizer.OPTIMIZERS[name](ours, 0.01)
        again.load_named_state(optimizer.named_state())
        theirs.train_step(tokens, targets, their_optimizer)
        ours.train_step(TOKENS, TARGETS, again)
        for weight, expected in theirs.weights().items():
            np.testing.assert_allclose(np.array(plain(ours.weights()[weight])), expected.numpy(), rtol=0, atol=1e-9)

    def test_the_state_of_another_optimiser_or_model_is_refused_and_nothing_changes(self):
        model = self.model()
        optimizer = self.optimizer.Adam(model)
        model.train_step(TOKENS, TARGETS, optimizer)
        before = str(optimizer.named_state())
        with pytest.raises(BadInput, match="is in only one of the two"):
            optimizer.load_named_state(self.optimizer.SGD(model).named_state())
        other = self.model(SPEC.replace(hidden_width=4))
        with pytest.raises(BadInput, match="has shape"):
            optimizer.load_named_state(self.optimizer.Adam(other).named_state())
        assert str(optimizer.named_state()) == before

    def test_a_schedule_sets_the_learning_rate_before_each_step(self):
        model = self.model()
        optimizer = self.optimizer.AdamW(model, 0.1)
        optimizer.learning_rate = 0.0
        model.train_step(TOKENS, TARGETS, optimizer)
        assert plain(model.weights()["output.weight"]) == plain(self.model().weights()["output.weight"])

    def test_training_learns_a_sequence_by_heart_and_writes_it(self):
        model = self.engine.Transformer(SPEC, 3)
        optimizer = self.optimizer.Adam(model, 0.03)
        losses = [model.train_step([[0, 1, 2, 3]], [[1, 2, 3, 4]], optimizer) for _ in range(60)]
        assert losses[-1] < 0.05 < losses[0]
        assert model.generate([0], 4) == [0, 1, 2, 3, 4]

    # ---- writing ----
    def test_a_chooser_gets_the_logits_as_numbers(self):
        seen: list[Any] = []

        def choose(logits: Any) -> int:
            seen.append(logits)
            return 3

        assert self.model().generate([1], 2, choose) == [1, 3, 3]
        assert [len(logits) for logits in seen] == [5, 5]
        assert all(type(logit) is float for logits in seen for logit in logits)

    def test_of_equal_logits_the_lowest_id_is_the_most_likely(self):
        assert self.model().most_likely([0.0, 2.0, 2.0]) == 1

    def test_a_forward_pass_that_is_refused_leaves_the_cache_as_it_was(self):
        model, cache = self.model(), [self.engine.Cache(SPEC), self.engine.Cache(SPEC)]
        model.forward([[1], [2]], cache=cache)
        with pytest.raises(BadInput):
            model.forward([[1], [99]], cache=cache)
        with pytest.raises(BadInput):
            model.forward([[1], [0, 0, 0, 0, 0, 0]], cache=cache)
        assert [(held.length, len(held.keys[0][0])) for held in cache] == [(1, 1), (1, 1)]

    # ---- what is refused ----
    @pytest.mark.parametrize(
        ("tokens", "said"),
        [
            ([], "empty"),
            ([[]], "empty"),
            ([[0], []], "empty"),
            ([[0] * 7], "7 tokens were given at once, and there is room for 6"),
            ([[5]], "token 5 is outside of 0 to 4"),
            ([[0, -1]], "token -1 is outside"),
            ([[0.5]], "no rows of whole numbers"),
            ([["a"]], "no rows of whole numbers"),
            ([0, 1], "no rows of whole numbers"),
            (3, "no rows of whole numbers"),
            ([[None]], "no rows of whole numbers"),
            (np.zeros((1, 2)), "no rows of whole numbers"),
        ],
    )
    def test_tokens_that_cannot_be_read_are_refused(self, tokens: Any, said: str):
        with pytest.raises(BadInput, match=said):
            self.model().forward(tokens)

    @pytest.mark.parametrize(
        ("targets", "said"),
        [
            ([[1, 2, 3]], "There are .* targets for each row"),
            ([[1, 2], [3, 4]], "There are .* targets for each row"),
            ([[-1, -1, -1], [-1, -1, -1]], "No target counts"),
            ([[0, 1, 5], [0, 0, 0]], "target 5 is outside of 0 to 4"),
            ([[0, 1, -2], [0, 0, 0]], "target -2 is outside"),
            ([0, 1], "no rows of whole numbers"),
            (3, "no rows of whole numbers"),
        ],
    )
    def test_targets_that_cannot_be_learned_are_refused(self, targets: Any, said: str):
        with pytest.raises(BadInput, match=said):
            self.model().forward(TOKENS, targets)

    def test_a_classifier_wants_one_class_for_each_row_and_writes_nothing(self):
        spec = SPEC.replace(kind="encoder", head="classes", classes=3)
        model = self.model(spec)
        for targets, said in (
            ([1], "There are .* targets for each row"),
            ([1, 3], "target 3 is outside of 0 to 2"),
            ([[1], [2]], "no rows of whole numbers"),
        ):
            with pytest.raises(BadInput, match=said):
                model.forward(TOKENS, targets)
        with pytest.raises(BadInput, match="writes no tokens"):
            model.generate([1], 1)

    def test_an_empty_prompt_is_refused(self):
        with pytest.raises(BadInput, match="prompt is empty"):
            self.model().generate([], 3)

    def test_a_cache_for_each_row_is_needed(self):
        with pytest.raises(BadInput, match="There are 2 rows and 1 caches"):
            self.model().forward(TOKENS, cache=[self.engine.Cache(SPEC)])

    def test_arrays_and_tensors_are_read_like_lists(self):
        model = self.model()
        expected = plain(model.forward(TOKENS, TARGETS)[0])
        for kind in (np.array, torch.tensor):
            logits, details = model.forward(kind(TOKENS), kind(TARGETS), present=kind([[True] * 3] * 2))
            assert plain(logits) == expected
            model.backward(details)

    def test_presence_must_be_told_of_every_token(self):
        with pytest.raises(BadInput, match="`present` speaks of"):
            self.model().forward(TOKENS, present=[[True] * 3, [True] * 2])

    def test_a_cache_and_targets_do_not_go_together(self):
        with pytest.raises(BadInput, match="together with a cache"):
            self.model().forward([[1]], [[2]], cache=[self.engine.Cache(SPEC)])

    # ---- microgpt and the standard library ----
    def test_two_layers_of_microgpt_have_the_losses_of_the_plain_program(self):
        program, (layers, width, heads, context) = microgpt(), (2, 8, 2, 8)
        random.seed(7)
        matrices = program.build_parameters(27, layers, width, context)
        model = self.microgpt_model(matrices, layers=layers, width=width, heads=heads, context=context)
        optimizer = self.optimizer.Adam(model, betas=(0.85, 0.99))
        plain_optimizer = program.Adam([value for rows in matrices.values() for row in rows for value in row])
        for step, name in enumerate(["ann", "kamon", "ursula", "maximilian"]):
            tokens = [26, *(ord(character) - ord("a") for character in name), 26]
            inputs, targets = tokens[:-1][:context], tokens[1:][:context]
            expected = program.name_loss(tokens, matrices, layers, heads, context)
            for weight in plain_optimizer.weights:
                weight.grad = 0.0
            expected.backward()
            plain_optimizer.step(step, 4)
            optimizer.learning_rate = 0.01 * (1 - step / 4)
            assert model.train_step([inputs], [targets], optimizer) == pytest.approx(expected.data, rel=1e-9)

    def test_microgpt_begins_with_the_losses_that_are_known(self, test_data: Path):
        losses = self.train_microgpt(*self.microgpt_of(test_data / "names.txt"), steps=5)
        assert [round(loss, 4) for loss in losses] == [3.3660, 3.4243, 3.1778, 3.0664, 3.2209]

    def microgpt_of(self, file: Path) -> tuple[Any, list[str], list[str], int]:
        """The model that microgpt.py begins with, the names in its order, their characters, and BOS."""
        program = microgpt()
        names = program.read_names(file)
        random.seed(42)
        random.shuffle(names)
        characters, bos = program.build_vocabulary(names)
        return self.microgpt_model(program.build_parameters(len(characters) + 1, 1, 16, 16)), names, characters, bos

    def train_microgpt(self, model: Any, names: list[str], characters: list[str], bos: int, steps: int) -> list[float]:
        """The losses of the first of a thousand steps."""
        optimizer = self.optimizer.Adam(model, betas=(0.85, 0.99))
        losses: list[float] = []
        for step in range(steps):
            tokens = microgpt().tokenize(names[step], characters, bos)[:17]
            optimizer.learning_rate = 0.01 * (1 - step / 1000)
            losses.append(model.train_step([tokens[:-1]], [tokens[1:]], optimizer))
        return losses

    def microgpt_model(self, matrices: Any, **changes: Any) -> Any:
        weights: dict[str, Any] = {}
        for name, rows in matrices.items():
            layer, _, part = name.rpartition(".")
            ours = f"blocks.{layer.removeprefix('layer')}.{MICROGPT_PARTS[part]}" if layer else MICROGPT_NAMES[name]
            weights[ours] = [[value.data for value in row] for row in rows]
        return self.engine.Transformer(preset("microgpt").replace(**changes), weights=weights)

    def test_nothing_but_the_standard_library_computes(self):
        program = WITHOUT_LIBRARIES.format(engine=self.engine.__name__.rpartition(".")[2])
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert "[0, " in ran.stdout
