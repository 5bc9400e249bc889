"""Well-known models as descriptions, by name; sizes from each family's published configuration."""

from __future__ import annotations

import difflib
from pathlib import Path

from glassbox.errors import BadInput
from glassbox.spec.model import Experts, ModelSpec


def preset(name: str) -> ModelSpec:
    """The description of a known model. Raises BadInput that names the nearest ones."""
    if name not in PRESETS:
        near = difflib.get_close_matches(name.lower(), PRESETS, n=3)
        raise BadInput(
            f"No preset is called {name!r}.",
            f"Did you mean {' or '.join(near)}?" if near else "See them all with: glassbox spec list.",
        )
    return PRESETS[name][1]


def described(model: str) -> ModelSpec:
    """The preset of that name, or the description in that file (a path, or a name ending in .json).

    Raises BadInput when it is neither.
    """
    return ModelSpec.load(Path(model).expanduser()) if is_file(model) else preset(model)


def is_file(model: str) -> bool:
    """Whether this names a file, and not a preset: a path, or a name ending in .json."""
    return model.endswith(".json") or "/" in model


def presets() -> dict[str, str]:
    """Name -> what it is, in one line with its source."""
    return {name: about for name, (about, _) in PRESETS.items()}


def _gpt2(layers: int, heads: int, width: int) -> ModelSpec:
    return ModelSpec(
        vocabulary_size=50_257,
        context=1_024,
        width=width,
        layers=layers,
        heads=heads,
        positions="learned",
        activation="gelu_tanh",
        norm="layer",
        norm_bias=True,
        attention_bias="all",
        feedforward_bias=True,
        tied_embeddings=True,
    )


def _llama(
    *,
    vocabulary_size: int,
    context: int,
    width: int,
    layers: int,
    heads: int,
    key_value_heads: int,
    hidden_width: int,
    rotary_base: float = 10_000.0,
    norm_epsilon: float = 1e-5,
    window: int | None = None,
    experts: Experts | None = None,
) -> ModelSpec:
    return ModelSpec(
        vocabulary_size=vocabulary_size,
        context=context,
        width=width,
        layers=layers,
        heads=heads,
        key_value_heads=key_value_heads,
        hidden_width=hidden_width,
        positions="rotary",
        rotary_base=rotary_base,
        activation="swiglu",
        norm="rms",
        norm_epsilon=norm_epsilon,
        window=window,
        experts=experts,
    )


def _pythia(layers: int, heads: int, width: int, vocabulary_size: int = 50_304) -> ModelSpec:
    return ModelSpec(
        vocabulary_size=vocabulary_size,
        context=2_048,
        width=width,
        layers=layers,
        heads=heads,
        positions="rotary",
        rotary_fraction=0.25,
        activation="gelu",
        norm="layer",
        norm_bias=True,
        attention_bias="all",
        feedforward_bias=True,
        parallel_residual=True,
    )


def _t5(layers: int, heads: int, width: int) -> ModelSpec:
    return ModelSpec(
        kind="encoder-decoder",
        vocabulary_size=32_128,
        context=512,
        width=width,
        encoder_layers=layers,
        layers=layers,
        heads=heads,
        head_width=64,
        positions="relative",
        score_scale=1.0,
        activation="relu",
        norm="rms",
        norm_epsilon=1e-6,
        tied_embeddings=True,
        logit_scale=width**-0.5,
    )


def _bart(layers: int, heads: int, width: int) -> ModelSpec:
    return ModelSpec(
        kind="encoder-decoder",
        vocabulary_size=50_265,
        context=1_024,
        width=width,
        encoder_layers=layers,
        layers=layers,
        heads=heads,
        positions="learned",
        activation="gelu",
        norm="layer",
        norm_bias=True,
        norm_placement="post",
        embedding_norm=True,
        final_norm=False,
        attention_bias="all",
        feedforward_bias=True,
        tied_embeddings=True,
    )


def _bert(layers: int, heads: int, width: int) -> ModelSpec:
    return ModelSpec(
        kind="encoder",
        vocabulary_size=30_522,
        context=512,
        width=width,
        layers=layers,
        heads=heads,
        positions="learned",
        token_types=2,
        activation="gelu",
        norm="layer",
        norm_bias=True,
        norm_placement="post",
        norm_epsilon=1e-12,
        embedding_norm=True,
        final_norm=False,
        attention_bias="all",
        feedforward_bias=True,
        tied_embeddings=True,
        output_transform=True,
        output_bias=True,
    )


_MICROGPT = ModelSpec(
    vocabulary_size=27,
    context=16,
    width=16,
    layers=1,
    heads=4,
    positions="learned",
    activation="relu",
    norm="rms",
    norm_gain=False,
    embedding_norm=True,
    final_norm=False,
    initialization="normal",
    initial_std=0.08,
)

_DIGITS = ModelSpec(
    kind="encoder",
    head="classes",
    classes=10,
    vocabulary_size=20,
    context=16,
    width=64,
    layers=2,
    heads=4,
    hidden_width=256,
    positions="sinusoidal",
    activation="relu",
    norm="layer",
    norm_bias=True,
    norm_placement="post",
    final_norm=False,
    attention_bias="all",
    feedforward_bias=True,
    output_bias=True,
    # 1/√width (LeCun et al. 1998, §4.6): a matrix keeps the variance of what it reads, and the vector of a token isn't
    # drowned by that of its position, whose numbers are sines.
    initial_std=0.125,
)

_TWO_DIGITS = ModelSpec(
    vocabulary_size=20, context=20, width=64, layers=2, heads=4, hidden_width=256, positions="rotary", initial_std=0.125
)

PRESETS: dict[str, tuple[str, ModelSpec]] = {
    "microgpt": ("one small block that writes names (the guide's model)", _MICROGPT),
    "digits": ("an encoder that answers First, Second, Last, Max, Min of two to six digits", _DIGITS),
    "two-digits": ("a decoder that writes the answer when the numbers have two digits", _TWO_DIGITS),
    "gpt2-small": ("GPT-2, 124M (Radford et al. 2019)", _gpt2(12, 12, 768)),
    "gpt2-medium": ("GPT-2, 355M", _gpt2(24, 16, 1_024)),
    "gpt2-large": ("GPT-2, 774M", _gpt2(36, 20, 1_280)),
    "gpt2-xl": ("GPT-2, 1.6B", _gpt2(48, 25, 1_600)),
    "llama2-7b": (
        "Llama 2, 7B (Touvron et al. 2023)",
        _llama(
            vocabulary_size=32_000,
            context=4_096,
            width=4_096,
            layers=32,
            heads=32,
            key_value_heads=32,
            hidden_width=11_008,
        ),
    ),
    "llama3-8b": (
        "Llama 3, 8B (Grattafiori et al. 2024): grouped-query attention, a vocabulary four times as large",
        _llama(
            vocabulary_size=128_256,
            context=8_192,
            width=4_096,
            layers=32,
            heads=32,
            key_value_heads=8,
            hidden_width=14_336,
            rotary_base=500_000.0,
        ),
    ),
    "llama3-70b": (
        "Llama 3, 70B (Grattafiori et al. 2024)",
        _llama(
            vocabulary_size=128_256,
            context=8_192,
            width=8_192,
            layers=80,
            heads=64,
            key_value_heads=8,
            hidden_width=28_672,
            rotary_base=500_000.0,
        ),
    ),
    "mistral-7b": (
        "Mistral 7B v0.1 (Jiang et al. 2023): grouped-query attention in a sliding window",
        _llama(
            vocabulary_size=32_000,
            context=32_768,
            width=4_096,
            layers=32,
            heads=32,
            key_value_heads=8,
            hidden_width=14_336,
            window=4_096,
        ),
    ),
    "mixtral-8x7b": (
        "Mixtral 8x7B (Jiang et al. 2024): two of eight experts for each token",
        _llama(
            vocabulary_size=32_000,
            context=32_768,
            width=4_096,
            layers=32,
            heads=32,
            key_value_heads=8,
            hidden_width=14_336,
            rotary_base=1_000_000.0,
            experts=Experts(count=8, active=2, hidden_width=14_336, balance=0.02),
        ),
    ),
    "deepseek-moe-16b": (
        "DeepSeekMoE 16B (Dai et al. 2024): six of 64 fine experts, two shared, a dense first layer",
        _llama(
            vocabulary_size=102_400,
            context=4_096,
            width=2_048,
            layers=28,
            heads=16,
            key_value_heads=16,
            hidden_width=10_944,
            norm_epsilon=1e-6,
            experts=Experts(
                count=64, active=6, hidden_width=1_408, shared=2, dense_layers=1, normalized=False, balance=0.001
            ),
        ),
    ),
    "qwen1.5-moe-a2.7b": (
        "Qwen1.5-MoE-A2.7B (Qwen team 2024): four of 60 fine experts, four shared behind a gate",
        _llama(
            vocabulary_size=151_936,
            context=8_192,
            width=2_048,
            layers=24,
            heads=16,
            key_value_heads=16,
            hidden_width=5_632,
            rotary_base=1_000_000.0,
            norm_epsilon=1e-6,
            experts=Experts(
                count=60, active=4, hidden_width=1_408, shared=4, shared_gate=True, normalized=False, balance=0.001
            ),
        ).replace(attention_bias="inputs"),
    ),
    "qwen3-30b-a3b": (
        "Qwen3-30B-A3B (Qwen team 2025): eight of 128 fine experts, queries and keys normalised",
        _llama(
            vocabulary_size=151_936,
            context=40_960,
            width=2_048,
            layers=48,
            heads=32,
            key_value_heads=4,
            hidden_width=6_144,
            rotary_base=1_000_000.0,
            norm_epsilon=1e-6,
            experts=Experts(count=128, active=8, hidden_width=768, balance=0.001),
        ).replace(head_width=128, qk_norm=True),
    ),
    "t5-small": ("T5, 60M (Raffel et al. 2020): an encoder that reads, a decoder that writes", _t5(6, 8, 512)),
    "t5-base": ("T5, 220M", _t5(12, 12, 768)),
    "t5-large": ("T5, 770M", _t5(24, 16, 1_024)),
    "bart-base": ("BART, 139M (Lewis et al. 2020)", _bart(6, 12, 768)),
    "bart-large": ("BART, 406M", _bart(12, 16, 1_024)),
    "bert-base": ("BERT, 110M (Devlin et al. 2019): finds masked words", _bert(12, 12, 768)),
    "bert-large": ("BERT, 335M", _bert(24, 16, 1_024)),
    "pythia-70m": ("Pythia, 70M (Biderman et al. 2023)", _pythia(6, 8, 512)),
    "pythia-160m": ("Pythia, 160M", _pythia(12, 12, 768)),
    "pythia-410m": ("Pythia, 410M", _pythia(24, 16, 1_024)),
    "pythia-1b": ("Pythia, 1B", _pythia(16, 8, 2_048)),
    "pythia-1.4b": ("Pythia, 1.4B", _pythia(24, 16, 2_048)),
    "pythia-2.8b": ("Pythia, 2.8B", _pythia(32, 32, 2_560)),
    "pythia-6.9b": ("Pythia, 6.9B", _pythia(32, 32, 4_096, 50_432)),
    "pythia-12b": ("Pythia, 12B", _pythia(36, 40, 5_120, 50_688)),
}
