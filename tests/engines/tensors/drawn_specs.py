"""Small models of every kind for property tests, and models whose gains and biases aren't ones and zeros."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st

from glassbox.engines.tensors import Transformer
from glassbox.spec import Experts, ModelSpec, RotaryScaling


@st.composite
def specs(draw: st.DrawFn, kinds: tuple[str, ...] = ("decoder", "encoder")) -> ModelSpec:
    """Any model that the tensors engine builds, small."""
    norm = draw(st.sampled_from(["layer", "rms", "group", "none"]))
    heads, key_value_heads = draw(st.sampled_from([(1, 1), (4, 4), (4, 2), (4, 1), (3, 3)]))
    positions = draw(st.sampled_from(["learned", "sinusoidal", "rotary", "alibi", "relative", "none"]))
    kind = draw(st.sampled_from(kinds))
    fields: dict[str, Any] = {
        "kind": kind,
        "vocabulary_size": 13,
        "context": 12,
        "width": 12,
        "layers": draw(st.integers(1, 3)),
        "encoder_layers": draw(st.integers(1, 2)) if kind == "encoder-decoder" else 0,
        "heads": heads,
        "key_value_heads": key_value_heads,
        "head_width": draw(st.sampled_from([4, 6])),
        "window": draw(st.sampled_from([None, 1, 3])),
        "score_scale": draw(st.sampled_from([1.0, 0.5])),
        "qk_norm": draw(st.booleans()),
        "attention_bias": draw(st.sampled_from(["none", "inputs", "all"])),
        "value_embeddings": kind == "decoder" and draw(st.booleans()),
        "positions": positions,
        "activation": draw(
            st.sampled_from(["relu", "relu_squared", "gelu", "gelu_tanh", "silu", "swiglu", "geglu", "geglu_tanh"])
        ),
        "feedforward_bias": draw(st.booleans()),
        "norm": norm,
        "final_norm": draw(st.booleans()),
        "embedding_scale": draw(st.sampled_from([1.0, 2.5])),
        "tied_embeddings": draw(st.booleans()),
        "output_bias": draw(st.booleans()),
        "logit_scale": draw(st.sampled_from([1.0, 0.5])),
        "initial_std": 0.4,
        "initialization": "normal",
    }
    # Far beyond its bound a soft cap answers the bound itself, whatever was read: logits tell no two inputs apart, and
    # slopes are zero. Only a norm right before the output keeps what it caps near one; without it, numbers grow from
    # layer to layer.
    if norm != "none" and fields["final_norm"]:
        fields["logit_softcap"] = draw(st.sampled_from([None, 2.0]))
    if positions == "relative":
        fields |= {"relative_buckets": 4, "relative_distance": 5}
    if positions == "rotary":
        fields["rotary_fraction"] = draw(st.sampled_from([1.0, 0.5])) if fields["head_width"] == 4 else 1.0
        llama3 = RotaryScaling(kind="llama3", factor=8, original_context=16, fast_turns=2, slow_turns=0.5)
        fields["rotary_scaling"] = draw(st.sampled_from([None, RotaryScaling(kind="linear", factor=2.5), llama3]))
    if norm != "none":
        fields["norm_gain"] = draw(st.booleans())
        fields["norm_bias"] = fields["norm_gain"] and norm in ("layer", "group") and draw(st.booleans())
        fields["embedding_norm"] = draw(st.booleans())
        fields["parallel_residual"] = kind != "encoder-decoder" and draw(st.booleans())
        if not fields["parallel_residual"]:
            fields["norm_placement"] = draw(st.sampled_from(["pre", "post", "sandwich"]))
    if draw(st.integers(0, 3)) == 0:
        count, shared = draw(st.integers(2, 5)), draw(st.integers(0, 2))
        fields["feedforward_bias"] = False
        fields["experts"] = Experts(
            count=count,
            active=draw(st.integers(1, count)),
            hidden_width=draw(st.integers(1, 8)),
            shared=shared,
            shared_gate=shared > 0 and draw(st.booleans()),
            dense_layers=draw(st.integers(0, fields["layers"] - 1)),
            normalized=draw(st.booleans()),
        )
    if norm == "group":
        fields["norm_groups"] = draw(st.sampled_from([1, 3]))
    return ModelSpec.checked(fields)


def model_of(spec: ModelSpec, seed: int = 0, dtype: torch.dtype = torch.float64) -> Transformer:
    """A model of which no weight is 0 or 1, so that none can be left out unnoticed."""
    model = Transformer(spec, seed).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight += 0.3 * torch.randn(weight.shape, generator=generator, dtype=dtype)
    return model


def tokens_of(spec: ModelSpec, batch: int, length: int, seed: int = 0) -> torch.Tensor:
    """Random ids, (batch, length)."""
    return torch.randint(0, spec.vocabulary_size, (batch, length), generator=torch.Generator().manual_seed(seed))


def assert_near(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-11) -> None:
    """Equal but for rounding: without norms values grow, and rounding with them."""
    assert actual.shape == expected.shape
    scale = 1 + float(expected.detach().abs().max())
    assert float((actual.detach() - expected.detach()).abs().max()) <= tolerance * scale
