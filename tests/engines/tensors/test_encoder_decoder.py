"""What is written looks at all of what was read, and at nothing that isn't there."""

from __future__ import annotations

import pytest
import torch
from drawn_specs import assert_near, model_of, specs, tokens_of
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.cache import Cache
from glassbox.engines.tensors.optimizer import OPTIMIZERS
from glassbox.engines.values import value_shapes
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, weight_shapes

SPEC = ModelSpec(
    kind="encoder-decoder", vocabulary_size=13, context=12, width=16, encoder_layers=2, layers=2, heads=4,
    initial_std=0.4,
)  # fmt: skip
BOTH = ("encoder-decoder",)


@given(specs(BOTH), st.integers(1, 8))
@settings(max_examples=40)
def test_padding_behind_a_source_changes_nothing(spec: ModelSpec, length: int) -> None:
    model, tokens, source = model_of(spec), tokens_of(spec, 2, 7), tokens_of(spec, 2, 9, seed=1)
    present = torch.arange(9) < torch.tensor([[length], [9]])
    padded = model(tokens, source=source, source_present=present)[0]
    assert_near(padded[:1], model(tokens[:1], source=source[:1, :length])[0])
    assert_near(padded[1:], model(tokens[1:], source=source[1:])[0])


@given(specs(BOTH), st.integers(1, 6))
@settings(max_examples=30)
def test_what_is_written_sees_no_later_token(spec: ModelSpec, changed: int) -> None:
    model, tokens, source = model_of(spec), tokens_of(spec, 2, 7), tokens_of(spec, 2, 9, seed=1)
    other = tokens.clone()
    other[:, changed:] = (other[:, changed:] + 1) % spec.vocabulary_size
    before, after = model(tokens, source=source)[0], model(other, source=source)[0]
    assert_near(before[:, :changed], after[:, :changed])


def test_the_first_token_that_is_written_sees_the_last_of_the_source() -> None:
    model, tokens, source = model_of(SPEC), tokens_of(SPEC, 2, 7), tokens_of(SPEC, 2, 9, seed=1)
    before = model(tokens, source=source)[0]
    source[:, -1] = (source[:, -1] + 1) % 13
    assert not torch.isclose(before[:, 0], model(tokens, source=source)[0][:, 0]).all(-1).any()


@given(specs(BOTH), st.lists(st.integers(1, 5), min_size=1, max_size=5), st.booleans())
@settings(max_examples=40)
def test_writing_in_pieces_with_a_cache_gives_the_same_logits(spec: ModelSpec, pieces: list[int], padded: bool) -> None:
    model, tokens, source = model_of(spec), tokens_of(spec, 3, 12), tokens_of(spec, 3, 5, seed=1)
    present = torch.arange(5) < torch.tensor([[5], [2], [1]]) if padded else None
    cache, parts = Cache(spec, 3, 12, like=model.embedding.tokens), []
    with torch.no_grad():
        whole = model(tokens, source=source, source_present=present)[0]
        while cache.length < 12:
            length = min(pieces[len(parts) % len(pieces)], 12 - cache.length)
            given = {"source": source, "source_present": present} if not parts else {}
            parts.append(model(tokens[:, cache.length : cache.length + length], cache=cache, **given)[0])
    assert_near(torch.cat(parts, 1), whole)


def test_the_encoder_reads_once_while_a_cache_is_written_into(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = model_of(SPEC), tokens_of(SPEC, 1, 6)
    assert model.encoder is not None
    read, seen = model.encoder.read, []
    monkeypatch.setattr(model.encoder, "read", lambda *given, **more: seen.append(given) or read(*given, **more))
    cache = Cache(SPEC, 1, 6, like=model.embedding.tokens)
    model(tokens[:, :3], source=tokens, cache=cache)
    model(tokens[:, 3:], cache=cache)
    assert len(seen) == 1
    with pytest.raises(BadInput, match="holds a source already"):
        model(tokens[:, :1], source=tokens, cache=cache)


def test_sequences_of_a_cache_are_chosen_with_their_sources() -> None:
    model, tokens, source = model_of(SPEC), tokens_of(SPEC, 3, 6), tokens_of(SPEC, 3, 5, seed=1)
    present, rows = torch.arange(5) < torch.tensor([[5], [2], [1]]), torch.tensor([2, 0, 2])
    with torch.no_grad():
        cache = Cache(SPEC, 3, 6, like=model.embedding.tokens)
        model(tokens[:, :5], source=source, source_present=present, cache=cache)
        cache.choose(rows)
        logits, _ = model(tokens[rows, 5:], cache=cache)
        expected, _ = model(tokens[rows], source=source[rows], source_present=present[rows])
    assert_near(logits, expected[:, 5:])


@given(specs(BOTH))
@settings(max_examples=30)
def test_every_value_and_every_weight_has_its_canonical_name_and_shape(spec: ModelSpec) -> None:
    model, tokens, source = model_of(spec), tokens_of(spec, 2, 5), tokens_of(spec, 2, 3, seed=1)
    _, details = model(tokens, tokens, source=source, keep="*")
    assert {name: tuple(value.shape) for name, value in details.values.items()} == value_shapes(spec, 2, 5, 3)
    model.backward(details)
    assert {name: tuple(weight.shape) for name, weight in model.gradients().items()} == weight_shapes(spec)


def test_checkpointed_blocks_give_the_same_gradients() -> None:
    plain, tokens = model_of(SPEC), tokens_of(SPEC, 2, 9)
    saving = Transformer(SPEC, checkpointing=True).double()
    saving.load_weights(plain.weights())
    for model in (plain, saving):
        model.backward(model(tokens, tokens, source=tokens)[1])
    for name, gradient in plain.gradients().items():
        assert_near(saving.gradients()[name], gradient)


def test_training_learns_to_write_the_source_backwards() -> None:
    model, optimizer = Transformer(SPEC.replace(width=32, initial_std=0.1)), None
    optimizer = OPTIMIZERS["adamw"](model, 0.01)
    for step in range(300):
        source = tokens_of(SPEC, 32, 4, seed=step) % 12 + 1
        answer = source.flip(1)
        begun = torch.cat((torch.zeros_like(answer[:, :1]), answer[:, :-1]), 1)
        model.train_step(begun, answer, optimizer, source=source)
    source = [3, 1, 4, 2]
    assert model.generate([0], 4, source=source) == [0, 2, 4, 1, 3]


def test_encoder_and_decoder_share_one_table_of_tokens_after_every_cast() -> None:
    model = Transformer(SPEC).double()
    assert model.encoder is not None
    assert model.encoder.embedding.tokens is model.embedding.tokens
    assert len(list(model.parameters())) == len(set(map(id, model.parameters())))
