"""Encoders have an outside referee: BERT of `transformers` with each of its heads, the same random weights, padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_against_transformers import Names, float64_throughout, randomized, same
from torch.nn.functional import cross_entropy

from glassbox.engines.tensors import Transformer
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

BERT: dict[str, Any] = {
    "kind": "encoder", "vocabulary_size": 31, "context": 24, "width": 24, "layers": 2, "heads": 4, "hidden_width": 40,
    "token_types": 2, "positions": "learned", "norm": "layer", "norm_bias": True, "norm_placement": "post",
    "norm_epsilon": 1e-12, "embedding_norm": True, "final_norm": False, "attention_bias": "all",
    "feedforward_bias": True, "activation": "gelu",
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "vocab_size": 31, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40,
    "max_position_embeddings": 24, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0, "num_labels": 3,
}  # fmt: skip
PRESENT = torch.arange(11) < torch.tensor([[11], [5], [1]])  # three texts, two of them padded


def bert_names(prefix: str = "bert.") -> Names:
    names: Names = {
        "embedding.tokens": same(f"{prefix}embeddings.word_embeddings.weight"),
        "embedding.positions": same(f"{prefix}embeddings.position_embeddings.weight"),
        "embedding.token_types": same(f"{prefix}embeddings.token_type_embeddings.weight"),
        "embedding_norm.gain": same(f"{prefix}embeddings.LayerNorm.weight"),
        "embedding_norm.bias": same(f"{prefix}embeddings.LayerNorm.bias"),
    }
    matrices = {f"attention.{name}": f"attention.self.{name}" for name in ("query", "key", "value")}
    matrices |= {
        "attention.output": "attention.output.dense",
        "feedforward.up": "intermediate.dense",
        "feedforward.down": "output.dense",
    }
    norms = {"attention_norm": "attention.output.LayerNorm", "feedforward_norm": "output.LayerNorm"}
    for layer in range(2):
        ours, theirs = f"blocks.{layer}", f"{prefix}encoder.layer.{layer}"
        for matrix, name in matrices.items():
            names[f"{ours}.{matrix}"] = same(f"{theirs}.{name}.weight")
            names[f"{ours}.{matrix}_bias"] = same(f"{theirs}.{name}.bias")
        for norm, name in norms.items():
            names[f"{ours}.{norm}.gain"] = same(f"{theirs}.{name}.weight")
            names[f"{ours}.{norm}.bias"] = same(f"{theirs}.{name}.bias")
    return names


def loaded(theirs: Any, spec: ModelSpec, names: Names) -> Transformer:
    held = dict(theirs.named_parameters())
    ours = Transformer(spec).double()
    ours.load_weights({name: take(held).detach() for name, take in names.items()})
    return ours


def texts() -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and their types, (3, 11) each."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 31, (3, 11), generator=generator), torch.randint(0, 2, (3, 11), generator=generator)


def assert_same(theirs: Any, spec: ModelSpec, names: Names, targets: torch.Tensor, present: torch.Tensor) -> None:
    """Same predictions, where there are tokens, and same gradients of the loss."""
    ours, (tokens, types) = loaded(theirs, spec, names), texts()
    logits, details = ours(tokens, targets, types=types, present=present)
    with float64_throughout():
        expected = theirs(tokens, present.long(), token_type_ids=types).logits
    shown = present if logits.ndim == 3 else slice(None)
    torch.testing.assert_close(logits[shown], expected[shown], rtol=0, atol=1e-9)
    ours.backward(details)
    cross_entropy(expected.flatten(0, -2), targets.flatten(), ignore_index=-1).backward()
    slopes = {name: weight.grad for name, weight in theirs.named_parameters() if weight.grad is not None}
    gradients = ours.gradients()
    assert gradients.keys() == names.keys()
    for name, take in names.items():
        torch.testing.assert_close(gradients[name], take(slopes), rtol=0, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")


def test_bert_finds_masked_words_with_one_more_layer_and_a_tied_output() -> None:
    names = bert_names() | {
        "output.transform": same("cls.predictions.transform.dense.weight"),
        "output.transform_bias": same("cls.predictions.transform.dense.bias"),
        "output.transform_norm.gain": same("cls.predictions.transform.LayerNorm.weight"),
        "output.transform_norm.bias": same("cls.predictions.transform.LayerNorm.bias"),
        "output.bias": same("cls.predictions.bias"),
    }
    spec = ModelSpec(**BERT, tied_embeddings=True, output_bias=True, output_transform=True)
    theirs = randomized(transformers.BertForMaskedLM(transformers.BertConfig(**CONFIG)))
    targets = torch.where(PRESENT, texts()[0].flip(1), -1)
    assert_same(theirs, spec, names, targets, PRESENT)


def test_bert_classifies_by_its_pooled_first_token() -> None:
    names = bert_names() | {
        "output.transform": same("bert.pooler.dense.weight"),
        "output.transform_bias": same("bert.pooler.dense.bias"),
        "output.weight": same("classifier.weight"),
        "output.bias": same("classifier.bias"),
    }
    spec = ModelSpec(**BERT, head="classes", classes=3, output_bias=True, output_transform=True)
    theirs = randomized(transformers.BertForSequenceClassification(transformers.BertConfig(**CONFIG)))
    assert_same(theirs, spec, names, torch.tensor([2, 0, 1]), PRESENT)


def test_bert_alone_gives_vectors() -> None:
    spec = ModelSpec(**BERT, head="vectors")
    theirs = randomized(transformers.BertModel(transformers.BertConfig(**CONFIG), add_pooling_layer=False))
    ours, (tokens, types) = loaded(theirs, spec, bert_names("")), texts()
    for given in (types, None):
        with float64_throughout():
            expected = theirs(tokens, PRESENT.long(), token_type_ids=given).last_hidden_state
        vectors, _ = ours(tokens, types=given, present=PRESENT)
        torch.testing.assert_close(vectors[PRESENT], expected[PRESENT], rtol=0, atol=1e-9)
    with pytest.raises(BadInput, match="gives vectors, and targets belong to predictions"):
        ours(tokens, tokens)
