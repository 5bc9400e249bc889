"""The arrays engine trains and samples what microgpt.py does, a thousand times as fast."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glassbox import microgpt
from glassbox.engines import arrays
from glassbox.engines.arrays.optimizer import Adam
from glassbox.spec import preset

CONTEXT = 16


def same_model(matrices: Any, layers: int) -> arrays.Transformer:
    """The model of microgpt.py's matrices."""
    names = {"wte": "embedding.tokens", "wpe": "embedding.positions", "lm_head": "output.weight"}
    parts = {"attn_wq": "attention.query", "attn_wk": "attention.key", "attn_wv": "attention.value"}
    parts |= {"attn_wo": "attention.output", "mlp_fc1": "feedforward.up", "mlp_fc2": "feedforward.down"}
    for layer in range(layers):
        names |= {f"layer{layer}.{theirs}": f"blocks.{layer}.{ours}" for theirs, ours in parts.items()}
    weights = {names[name]: [[value.data for value in row] for row in rows] for name, rows in matrices.items()}
    spec = preset("microgpt").replace(layers=layers, vocabulary_size=len(matrices["wte"]))
    return arrays.Transformer(spec, weights=weights, dtype=np.float64)


def train(model: arrays.Transformer, optimizer: Adam, tokens: list[int], number: int, steps: int) -> float:
    optimizer.learning_rate = 0.01 * (1 - number / steps)
    tokens = tokens[: CONTEXT + 1]
    return model.train_step([tokens[:-1]], [tokens[1:]], optimizer)


def test_the_losses_and_the_names_are_the_known_ones(test_data: Path):
    names = microgpt.read_names(test_data / "names.txt")
    random.seed(42)
    random.shuffle(names)
    characters, bos = microgpt.build_vocabulary(names)
    model = same_model(microgpt.build_parameters(len(characters) + 1, 1, 16, CONTEXT), layers=1)
    optimizer = Adam(model, betas=(0.85, 0.99))
    losses = [
        train(model, optimizer, microgpt.tokenize(names[number], characters, bos), number, 1000)
        for number in range(1000)
    ]
    assert [round(loss, 4) for loss in losses[:5]] == [3.3660, 3.4243, 3.1778, 3.0664, 3.2209]
    assert round(losses[-1], 4) == 2.6497

    def choose(logits: Any) -> int:
        weights = [math.exp((logit - max(logits)) / 0.5) for logit in logits.tolist()]
        return random.choices(range(len(weights)), weights)[0]

    written: list[str] = []
    for _ in range(5):
        tokens = model.generate([bos], 1, choose)
        while tokens[-1] != bos and len(tokens) <= CONTEXT:
            tokens = model.generate(tokens, 1, choose)
        written.append("".join(characters[token] for token in tokens if token != bos))
    assert written == ["kamon", "ann", "karai", "jaire", "vialan"]


def test_with_another_seed_and_two_layers_the_losses_and_weights_are_those_of_the_program():
    random.seed(7)
    matrices = microgpt.build_parameters(27, 2, 16, CONTEXT)
    model = same_model(matrices, layers=2)
    optimizer = Adam(model, betas=(0.85, 0.99))
    values = [value for matrix in matrices.values() for row in matrix for value in row]
    program = microgpt.Adam(values, 0.01, 0.85, 0.99)
    for number, tokens in enumerate(([26, 4, 12, 12, 0, 26], [26, 0, 21, 0, 26])):
        loss = microgpt.name_loss(tokens, matrices, 2, 4, CONTEXT)
        for value in values:
            value.grad = 0.0
        loss.backward()
        program.step(number, 10)
        assert train(model, optimizer, tokens, number, 10) == pytest.approx(loss.data, rel=1e-12)
    for name, weight in same_model(matrices, layers=2).weights().items():
        np.testing.assert_allclose(model.weights()[name], weight, rtol=1e-9, atol=1e-12, err_msg=name)
