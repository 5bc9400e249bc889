"""What is counted, by arithmetic alone; `tests/training/test_memory_prediction.py` asks PyTorch whether it is true."""

from __future__ import annotations

import pytest

from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, count_memory, count_parameters, preset

TINY = ModelSpec(vocabulary_size=50, context=32, width=64, layers=4, heads=4)


def test_memory_of_weights_gradients_and_optimiser_is_exact() -> None:
    memory = count_memory(preset("gpt2-small"), batch=1)
    assert memory.weights == memory.gradients == 4 * 124_439_808
    assert memory.optimizer == 2 * 4 * 124_439_808
    assert count_memory(preset("gpt2-small"), batch=1, optimizer="sgd").optimizer == 0
    muon = count_memory(preset("gpt2-small"), batch=1, optimizer="muon").optimizer
    assert memory.optimizer / 2 < muon < memory.optimizer


def test_the_cache_holds_a_key_and_a_value_per_layer_and_key_value_head() -> None:
    llama2, llama3 = (
        count_memory(preset(name), batch=1, activations_in="bfloat16") for name in ("llama2-7b", "llama3-8b")
    )
    assert llama2.cache_per_token == 2 * 32 * 4_096 * 2
    assert llama3.cache_per_token == llama2.cache_per_token / 4  # 8 of 32 heads
    windowed = count_memory(preset("mistral-7b"), batch=1)
    assert windowed.cache == windowed.cache_per_token * 4_096  # no more than the window is kept


def test_an_encoder_decoder_caches_the_source_too() -> None:
    memory = count_memory(preset("t5-small"), batch=1, context=100)
    assert memory.cache_per_token == 2 * 6 * 512 * 4
    assert memory.cache == 2 * 100 * memory.cache_per_token


def test_of_experts_only_the_visited_ones_hold_activations() -> None:
    many, few = (
        count_memory(TINY.replace(experts={"count": count, "active": 2, "hidden_width": 64}), batch=4)
        for count in (64, 4)
    )
    assert many.weights > 5 * few.weights
    assert many.activations < 1.2 * few.activations


def test_checkpointing_and_smaller_batches_save_activations() -> None:
    spec = preset("gpt2-small")
    plain, saved = count_memory(spec, batch=4), count_memory(spec, batch=4, gradient_checkpointing=True)
    assert saved.activations < plain.activations
    assert count_memory(spec, batch=8).activations == 2 * plain.activations


def test_the_most_at_once_is_less_than_all_that_is_ever_held_and_a_process_takes_more() -> None:
    memory = count_memory(preset("gpt2-small"), batch=4)
    held = memory.weights + memory.optimizer
    assert held + memory.activations <= memory.training
    assert memory.training < held + memory.gradients + memory.activations + memory.working
    assert memory.process > memory.training


def test_a_large_vocabulary_costs_three_tensors_of_its_logits() -> None:
    """The logarithms of the probabilities, their gradient, and that of the logits, in float32 whatever the format."""
    large = count_memory(TINY.replace(vocabulary_size=10_000), batch=8, activations_in="bfloat16", optimizer="sgd")
    logits = 8 * 32 * 10_000 * 4
    weights_and_cast = 10_000 * 64 * (4 + 4 + 2)  # embedding, output, and the output's copy
    assert large.training == pytest.approx(3 * logits + weights_and_cast, rel=0.15)
    assert large.working == pytest.approx(2 * logits, rel=0.01)


def test_matrices_are_copied_only_into_a_narrower_format_and_tables_never() -> None:
    assert count_memory(TINY, batch=1).casts == 0
    assert count_memory(TINY, batch=1, weights_in="bfloat16", activations_in="bfloat16").casts == 0
    matrices = count_parameters(TINY).total - 50 * 64 - 9 * 64  # without the embedding and nine gains
    assert count_memory(TINY, batch=1, activations_in="bfloat16").casts == 2 * matrices


def test_gradients_of_earlier_batches_are_held_besides() -> None:
    alone, besides = (count_memory(TINY, batch=64, accumulates=accumulates) for accumulates in (False, True))
    assert 0 < besides.training - alone.training <= alone.gradients


def test_where_activations_are_few_the_update_takes_most_and_muon_more_than_adam() -> None:
    spec = TINY.replace(width=256)
    adam, muon = (count_memory(spec, batch=1, context=1, optimizer=name) for name in ("adam", "muon"))
    assert adam.training == pytest.approx(adam.weights + adam.gradients + adam.optimizer, rel=0.01)
    assert muon.training - muon.weights - muon.gradients - muon.optimizer > 4 * 4 * 12 * 256**2  # all hidden matrices


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="batch"):
        count_memory(TINY, batch=0)
