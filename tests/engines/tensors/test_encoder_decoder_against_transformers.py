"""Encoder-decoders have an outside referee: T5 and BART of `transformers`, with the same random weights and padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_against_transformers import Names, float64_throughout, randomized, rows, same
from torch.nn.functional import cross_entropy

from glassbox.engines.tensors import Transformer
from glassbox.engines.tensors.cache import Cache
from glassbox.spec import ModelSpec

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

SIZES: dict[str, Any] = {
    "kind": "encoder-decoder", "vocabulary_size": 31, "context": 24, "width": 24, "encoder_layers": 3, "layers": 2,
    "heads": 4, "hidden_width": 40, "tied_embeddings": True,
}  # fmt: skip
PRESENT = torch.arange(11) < torch.tensor([[11], [5], [1]])  # three sources, two of them padded


def assert_same(theirs: Any, spec: ModelSpec, names: Names) -> None:
    """Same logits, same gradients of the loss, and the same tokens written greedily, with a cache and without."""
    held = dict(theirs.named_parameters())
    ours = Transformer(spec, weights={name: take(held).detach() for name, take in names.items()}).double()
    ours.load_weights({name: take(held).detach() for name, take in names.items()})
    generator = torch.Generator().manual_seed(1)
    source = torch.randint(0, 31, (3, 11), generator=generator)
    tokens = torch.randint(0, 31, (3, 9), generator=generator)
    logits, details = ours(tokens[:, :-1], tokens[:, 1:], source=source, source_present=PRESENT)
    with float64_throughout():
        expected = theirs(source, PRESENT.long(), decoder_input_ids=tokens[:, :-1]).logits
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-9)
    ours.backward(details)
    cross_entropy(expected.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    slopes = {name: weight.grad for name, weight in held.items() if weight.grad is not None}
    gradients = ours.gradients()
    assert gradients.keys() == names.keys()
    for name, take in names.items():
        torch.testing.assert_close(gradients[name], take(slopes), rtol=0, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")

    with float64_throughout(), torch.no_grad():
        written = theirs.generate(
            source, attention_mask=PRESENT.long(), max_new_tokens=12, min_new_tokens=12, do_sample=False, num_beams=1,
            decoder_start_token_id=2, eos_token_id=None, forced_eos_token_id=None,
        )  # fmt: skip
    for row, length in enumerate(PRESENT.sum(1).tolist()):
        prompt = source[row, :length].tolist()
        assert ours.generate([2], 12, source=prompt) == written[row].tolist()
    with torch.no_grad():
        cache = Cache(spec, 3, 13, like=ours.embedding.tokens)
        first, _ = ours(written[:, :4], cache=cache, source=source, source_present=PRESENT)
        rest = [ours(written[:, place : place + 1], cache=cache)[0] for place in range(4, 13)]
        whole, _ = ours(written, source=source, source_present=PRESENT)
    torch.testing.assert_close(torch.cat((first, *rest), 1), whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["relu", "gated-gelu"])
def test_t5_is_relative_positions_without_scaling_and_a_scaled_tied_output(kind: str) -> None:
    gated = kind == "gated-gelu"
    names: Names = {"embedding.tokens": same("shared.weight")}
    for ours, theirs, layers in (("encoder.", "encoder", 3), ("", "decoder", 2)):
        table = f"{theirs}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        names[f"{ours}relative_positions.scores"] = same(table)
        names[f"{ours}final_norm.gain"] = same(f"{theirs}.final_layer_norm.weight")
        for layer in range(layers):
            parts = [("attention", "SelfAttention"), ("cross_attention", "EncDecAttention")][: 1 if ours else 2]
            for index, (part, name) in enumerate(parts):
                their = f"{theirs}.block.{layer}.layer.{index}"
                names[f"{ours}blocks.{layer}.{part}_norm.gain"] = same(f"{their}.layer_norm.weight")
                for matrix in ("query", "key", "value", "output"):
                    names[f"{ours}blocks.{layer}.{part}.{matrix}"] = same(f"{their}.{name}.{matrix[0]}.weight")
            their = f"{theirs}.block.{layer}.layer.{len(parts)}"
            names[f"{ours}blocks.{layer}.feedforward_norm.gain"] = same(f"{their}.layer_norm.weight")
            inner = {"gate": "wi_0", "up": "wi_1", "down": "wo"} if gated else {"up": "wi", "down": "wo"}
            for matrix, other in inner.items():
                names[f"{ours}blocks.{layer}.feedforward.{matrix}"] = same(f"{their}.DenseReluDense.{other}.weight")
    spec = ModelSpec(
        **SIZES, positions="relative", score_scale=1.0, logit_scale=24**-0.5, norm_epsilon=1e-6,
        activation="geglu_tanh" if gated else "relu",
    )  # fmt: skip
    config = transformers.T5Config(
        vocab_size=31, d_model=24, d_kv=6, d_ff=40, num_layers=3, num_decoder_layers=2, num_heads=4, dropout_rate=0,
        feed_forward_proj=kind,
    )  # fmt: skip
    with float64_throughout():
        theirs_model = randomized(transformers.T5ForConditionalGeneration(config))
    assert_same(theirs_model, spec, names)


def test_bart_is_learned_positions_and_norms_after_each_part() -> None:
    names: Names = {"embedding.tokens": same("model.shared.weight")}
    for ours, theirs, layers in (("encoder.", "model.encoder", 3), ("", "model.decoder", 2)):
        names[f"{ours}embedding.positions"] = rows(f"{theirs}.embed_positions.weight", 2, 26)
        for kind, name in (("gain", "weight"), ("bias", "bias")):
            names[f"{ours}embedding_norm.{kind}"] = same(f"{theirs}.layernorm_embedding.{name}")
        for layer in range(layers):
            block, their = f"{ours}blocks.{layer}", f"{theirs}.layers.{layer}"
            norms = {"attention_norm": "self_attn_layer_norm", "feedforward_norm": "final_layer_norm"}
            parts = {"attention": "self_attn"}
            if not ours:
                norms["cross_attention_norm"], parts["cross_attention"] = "encoder_attn_layer_norm", "encoder_attn"
            for norm, name in norms.items():
                names[f"{block}.{norm}.gain"] = same(f"{their}.{name}.weight")
                names[f"{block}.{norm}.bias"] = same(f"{their}.{name}.bias")
            matrices = {"feedforward.up": "fc1", "feedforward.down": "fc2"}
            for part, name in parts.items():
                for matrix in ("query", "key", "value"):
                    matrices[f"{part}.{matrix}"] = f"{name}.{matrix[0]}_proj"
                matrices[f"{part}.output"] = f"{name}.out_proj"
            for matrix, name in matrices.items():
                names[f"{block}.{matrix}"] = same(f"{their}.{name}.weight")
                names[f"{block}.{matrix}_bias"] = same(f"{their}.{name}.bias")
    spec = ModelSpec(
        **SIZES, positions="learned", norm="layer", norm_bias=True, norm_placement="post", embedding_norm=True,
        final_norm=False, attention_bias="all", feedforward_bias=True, activation="gelu",
    )  # fmt: skip
    config = transformers.BartConfig(
        vocab_size=31, d_model=24, encoder_layers=3, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=40, decoder_ffn_dim=40, max_position_embeddings=24, dropout=0,
    )  # fmt: skip
    assert_same(randomized(transformers.BartForConditionalGeneration(config)), spec, names)
