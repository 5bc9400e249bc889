"""`ModelSpec`: the one description of a model.

Every engine builds from it, every count is computed from it, every view is drawn from it. It is frozen, forbids
unknown fields, fills in what follows from other fields, and refuses combinations that make no sense with a message
that says what to change.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from glassbox.errors import BadInput
from glassbox.spec.faults import Fault, faults_of

Kind = Literal["decoder", "encoder", "encoder-decoder"]
Positions = Literal["learned", "sinusoidal", "rotary", "alibi", "relative", "none"]
Norm = Literal["layer", "rms", "group", "none"]
NormPlacement = Literal["pre", "post", "sandwich"]
Activation = Literal["relu", "relu_squared", "gelu", "gelu_tanh", "silu", "swiglu", "geglu", "geglu_tanh"]
Biases = Literal["none", "inputs", "all"]
Initialization = Literal["normal", "scaled", "zero"]
Head = Literal["language", "classes", "vectors"]

GATED_ACTIVATIONS: frozenset[Activation] = frozenset({"swiglu", "geglu", "geglu_tanh"})
LARGEST = 1_000_000_000  # a bound on sizes, so that a slip of the keyboard is an answer and not an hour of counting


class Experts(BaseModel):
    """A mixture of experts in place of one feed-forward network (Shazeer et al. 2017; DeepSeekMoE, Dai et al. 2024)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    count: int = Field(ge=2, le=4096, description="Routed experts in each layer.")
    active: int = Field(ge=1, le=4096, description="Routed experts that each token visits.")
    hidden_width: int = Field(ge=1, le=LARGEST, description="Hidden width of one expert.")
    shared: int = Field(default=0, ge=0, le=64, description="Experts that every token visits besides the routed ones.")
    shared_gate: bool = Field(
        default=False, description="Scale what the shared experts give by a sigmoid of the token (Qwen 1.5 MoE)."
    )
    dense_layers: int = Field(
        default=0, ge=0, le=10_000, description="First layers that keep one ordinary feed-forward."
    )
    normalized: bool = Field(
        default=True,
        description="Weights of the visited experts divided by their sum (Mixtral), so that they sum to 1.",
    )
    balance: float = Field(
        default=0.01, ge=0, le=10, description="Share of the load-balancing loss in training (Fedus et al. 2021, §2.2)."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.shared_gate and not self.shared:
            raise ValueError("shared_gate is on, but there are no shared experts: set experts.shared or turn it off")
        if self.active > self.count:
            raise ValueError(
                f"{self.active} active experts were asked for, but there are {self.count}: "
                f"lower experts.active to at most {self.count} or raise experts.count"
            )
        return self


class RotaryScaling(BaseModel):
    """Rotary positions stretched for texts longer than those first trained on (`spec.rotary` has the formulas).

    fast_turns and slow_turns: how often a pair of channels turns within the original context; above the first it is
    left alone, below the second it is slowed by the factor (Llama 3.1, 2024).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["linear", "llama3"] = Field(description="All pairs slowed alike, or the slow ones only (Llama 3.1).")
    factor: float = Field(ge=1, le=1_000_000, description="How much slower pairs of channels turn.")
    original_context: int = Field(
        default=8_192, ge=1, le=LARGEST, description="Context of the first training (llama3)."
    )
    fast_turns: float = Field(default=4.0, gt=0, le=1e6, description="Turns above which a pair is kept (llama3).")
    slow_turns: float = Field(default=1.0, gt=0, le=1e6, description="Turns below which a pair is slowed (llama3).")

    @model_validator(mode="after")
    def _slow_below_fast(self) -> Self:
        if self.slow_turns >= self.fast_turns:
            raise ValueError(
                f"slow_turns is {self.slow_turns:g} and fast_turns {self.fast_turns:g}: "
                "lower rotary_scaling.slow_turns below rotary_scaling.fast_turns"
            )
        return self


def _default_key_value_heads(fields: dict[str, int]) -> int:
    return fields.get("heads", 1)


def _default_head_width(fields: dict[str, int]) -> int:
    return max(1, fields.get("width", 1) // fields.get("heads", 1))


def _default_score_scale(fields: dict[str, int]) -> float:
    return 1 / math.sqrt(fields.get("head_width", 1))


def _default_hidden_width(fields: dict[str, int | str]) -> int:
    """Four times the width; two thirds of that for gated activations, which have a third matrix (Shazeer 2020, §2)."""
    width = int(fields.get("width", 1))
    if fields.get("activation") in GATED_ACTIVATIONS:
        return -(-8 * width // 24) * 8  # 8/3 of the width, rounded up to a multiple of 8
    return 4 * width


class ModelSpec(BaseModel):
    """The shape of a transformer, complete: two models with equal specs and equal weights compute the same numbers.

    Raises pydantic's ValidationError on construction; `ModelSpec.checked` raises `BadInput` instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # What it is
    kind: Kind = Field(
        default="decoder", description="Decoder (writes), encoder (reads), or encoder-decoder (reads, then writes)."
    )
    head: Head = Field(
        default="language",
        description="What comes out: logits over the vocabulary or over classes, or the vectors themselves.",
    )
    classes: int = Field(default=0, ge=0, le=LARGEST, description="Classes to choose from, with head = classes.")

    # Sizes
    vocabulary_size: int = Field(ge=2, le=LARGEST, description="Token ids are 0 to this minus one.")
    context: int = Field(ge=1, le=LARGEST, description="Most tokens the model reads at once.")
    width: int = Field(ge=1, le=LARGEST, description="Length of the vector that stands for one token.")
    layers: int = Field(ge=1, le=10_000, description="Blocks, one after another (of the decoder, if there are two).")
    encoder_layers: int = Field(
        default=0, ge=0, le=10_000, description="Blocks of the encoder, with kind = encoder-decoder."
    )
    heads: int = Field(ge=1, le=LARGEST, description="Attention heads in each block.")
    key_value_heads: int = Field(
        default_factory=_default_key_value_heads,
        ge=1,
        le=LARGEST,
        description="Heads of keys and values: as many as heads, fewer (grouped-query) or one (multi-query).",
    )
    head_width: int = Field(
        default_factory=_default_head_width, ge=1, le=LARGEST, description="Length of one head's query; width / heads."
    )

    # Attention
    window: int | None = Field(
        default=None, ge=1, le=LARGEST, description="Tokens that attention looks back, itself included."
    )
    score_scale: float = Field(
        default_factory=_default_score_scale, gt=0, description="Factor on the scores; 1/√head_width (T5: 1)."
    )
    qk_norm: bool = Field(
        default=False, description="Normalise queries and keys per head (RMSNorm; Henry et al. 2020)."
    )
    attention_bias: Biases = Field(
        default="none", description="Biases of query, key and value (inputs), of the output too (all)."
    )
    value_embeddings: bool = Field(
        default=False,
        description="Add a learned embedding of the token to the values of every second block (speed-run, 2024).",
    )

    # Positions
    positions: Positions = Field(default="rotary", description="How a token knows where it stands.")
    rotary_base: float = Field(default=10_000.0, gt=1, description="Longest wavelength of rotary positions over 2 pi.")
    rotary_fraction: float = Field(default=1.0, gt=0, le=1, description="Share of each head's width that is rotated.")
    rotary_scaling: RotaryScaling | None = Field(
        default=None, description="Slower turning, for texts longer than those first trained on."
    )

    relative_buckets: int = Field(
        default=32, ge=4, le=LARGEST, description="Kinds of distance that relative positions tell apart (T5)."
    )
    relative_distance: int = Field(
        default=128, ge=2, le=LARGEST, description="From this distance on all are of one kind (T5)."
    )

    # Feed-forward
    activation: Activation = Field(default="gelu", description="Non-linearity of the feed-forward network.")
    hidden_width: int = Field(
        default_factory=_default_hidden_width, ge=1, le=LARGEST, description="Width inside the feed-forward network."
    )
    feedforward_bias: bool = Field(default=False, description="Biases in the feed-forward network.")
    experts: Experts | None = Field(
        default=None, description="Mixture of experts in place of one feed-forward network."
    )

    # Norms and residuals
    norm: Norm = Field(default="rms", description="LayerNorm, RMSNorm, GroupNorm over the width, or none.")
    norm_placement: NormPlacement = Field(
        default="pre", description="Before each part, after its addition, or around it."
    )
    norm_epsilon: float = Field(default=1e-5, gt=0, lt=1, description="Added to the variance before the root.")
    norm_gain: bool = Field(default=True, description="A learned factor per channel after normalising.")
    norm_bias: bool = Field(
        default=False, description="A learned summand per channel after normalising (layer and group)."
    )
    norm_groups: int = Field(default=1, ge=1, le=LARGEST, description="Groups of channels, with norm = group.")
    embedding_norm: bool = Field(default=False, description="Normalise right after the embeddings.")
    final_norm: bool = Field(default=True, description="Normalise before the output.")
    parallel_residual: bool = Field(default=False, description="Attention and feed-forward side by side (GPT-J, NeoX).")

    # Embedding and output
    tied_embeddings: bool = Field(default=False, description="One matrix for embedding and output (Press & Wolf 2017).")
    token_types: int = Field(
        default=0, ge=0, le=LARGEST, description="Kinds of tokens, each with a vector that is added (BERT's segments)."
    )
    embedding_scale: float = Field(default=1.0, gt=0, description="Factor on the token embedding.")
    output_transform: bool = Field(
        default=False,
        description="One more layer before the output matrix, as in BERT: with the activation and a norm for words, "
        "with tanh for classes (the pooler).",
    )
    output_bias: bool = Field(default=False, description="A bias on the logits.")
    logit_scale: float = Field(
        default=1.0, gt=0, description="Factor on the vectors that the output matrix reads (T5: 1/√width)."
    )
    logit_softcap: float | None = Field(
        default=None, gt=0, description="c * tanh(logits / c), with c this (Gemma 2, 2024)."
    )

    # How weights begin
    initialization: Initialization = Field(
        default="scaled",
        description="Outputs of attention and feed-forward begin as other matrices (normal), divided by the root of "
        "2 x layers (scaled; GPT-2), or at zero (zero; speed-run).",
    )
    initial_std: float = Field(
        default=0.02, gt=0, le=10, description="Standard deviation of matrices at the beginning."
    )

    @classmethod
    def checked(cls, fields: Mapping[str, object]) -> ModelSpec:
        """A spec from untrusted fields. Raises BadInput that names every field at fault and what to change."""
        try:
            return cls.model_validate(dict(fields))
        except ValidationError as error:
            found = "; ".join(map(str, faults_of(error)))
            raise BadInput(f"This model description cannot be built: {found}.", "Change the fields named.") from None

    @classmethod
    def faults(cls, fields: Mapping[str, object]) -> list[Fault]:
        """What is wrong with untrusted fields, one by one; empty if a model can be built from them."""
        try:
            cls.model_validate(dict(fields))
        except ValidationError as error:
            return faults_of(error)
        return []

    @classmethod
    def load(cls, file: Path) -> ModelSpec:
        """Read a spec from JSON. Raises BadInput when the file is missing, not JSON, or not a spec."""
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(f"No model description could be read from {file}: {error}.", "Give a spec.json.") from None
        if not isinstance(fields, dict):
            raise BadInput(
                f"{file} holds no JSON object.", "Give a spec.json as `glassbox spec show NAME --json` prints it."
            )
        return cls.checked(fields)  # pyright: ignore[reportUnknownArgumentType]  (JSON; `checked` validates it)

    def save(self, file: Path) -> None:
        """Write every field, defaults and derived ones included, so that later defaults change nothing."""
        file.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def replace(self, **changes: object) -> ModelSpec:
        """The same description with some fields changed; what followed from other fields follows anew."""
        return ModelSpec.checked({**self.model_dump(exclude_unset=True), **changes})

    @property
    def gated(self) -> bool:
        """Does the feed-forward have a gate matrix beside the up matrix?"""
        return self.activation in GATED_ACTIVATIONS

    @property
    def causal(self) -> bool:
        """Does a token see only what stands before it (in the stack that `layers` counts)?"""
        return self.kind != "encoder"

    @property
    def encoder(self) -> ModelSpec:
        """The encoder of an encoder-decoder as a description of its own."""
        dense = self.experts is not None and self.experts.dense_layers >= self.encoder_layers
        changes = {"kind": "encoder", "layers": self.encoder_layers, "encoder_layers": 0}
        return self.replace(**changes, experts=None if dense else self.experts)

    def has_experts(self, layer: int) -> bool:
        """Is the feed-forward of block `layer` a mixture of experts?"""
        return self.experts is not None and layer >= self.experts.dense_layers

    def has_value_embedding(self, layer: int) -> bool:
        """Every second block, the last one among them."""
        return self.value_embeddings and (self.layers - 1 - layer) % 2 == 0

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for check in (
            self._check_heads,
            self._check_positions,
            self._check_norms,
            self._check_kind,
            self._check_experts,
        ):
            check()
        return self

    def _check_heads(self) -> None:
        if "head_width" not in self.model_fields_set and self.width % self.heads:
            below = self.width - self.width % self.heads
            near = f"{below} or {below + self.heads}" if below else f"{self.heads}"
            raise ValueError(
                f"width {self.width} is not divisible by {self.heads} heads: "
                f"set width to {near}, or change heads, or set head_width"
            )
        if self.heads % self.key_value_heads:
            fits = [n for n in range(1, min(self.heads, 1024) + 1) if self.heads % n == 0]
            raise ValueError(
                f"{self.heads} heads cannot share {self.key_value_heads} key/value heads evenly: "
                f"set key_value_heads to one of {', '.join(map(str, fits))}"
            )

    def _check_positions(self) -> None:
        if self.positions == "relative":
            if self.relative_buckets % (2 if self.kind == "decoder" else 4):
                raise ValueError(
                    f"relative_buckets is {self.relative_buckets}: half of them hold one distance each, and where a "
                    "token sees what comes later, half of all are for each side: choose a multiple of 4"
                )
            if self.relative_distance <= self.relative_buckets // 2:
                raise ValueError(
                    f"relative_distance is {self.relative_distance}, and half of the {self.relative_buckets} buckets "
                    "hold one distance each: make it larger or relative_buckets smaller"
                )
        if self.positions == "sinusoidal" and self.width % 2:
            raise ValueError(f"sinusoidal positions need an even width, and it is {self.width}: make it even")
        if self.positions != "rotary":
            if "rotary_fraction" in self.model_fields_set and self.rotary_fraction != 1:
                raise ValueError(
                    f"rotary_fraction is set, but positions are {self.positions}: drop it or choose rotary"
                )
            if self.rotary_scaling is not None:
                raise ValueError(f"rotary_scaling is set, but positions are {self.positions}: drop it or choose rotary")
            return
        if self.rotated_width < 2 or self.rotated_width % 2:
            raise ValueError(
                f"rotary positions turn pairs, and {self.rotary_fraction:g} of a head's width of {self.head_width} is "
                f"{self.rotated_width}: choose a head width and fraction that give an even number of at least 2"
            )

    @property
    def rotated_width(self) -> int:
        """Channels of each head that rotary positions turn."""
        return int(self.head_width * self.rotary_fraction)

    def _check_norms(self) -> None:
        if self.norm == "group" and self.width % self.norm_groups:
            raise ValueError(
                f"width {self.width} is not divisible by {self.norm_groups} norm groups: set norm_groups to a divisor"
            )
        if self.norm != "group" and self.norm_groups != 1:
            raise ValueError(
                f"norm_groups is {self.norm_groups}, but norm is {self.norm}: set norm to group or drop it"
            )
        if self.norm_bias and self.norm in ("rms", "none"):
            raise ValueError(f"norm_bias is on, but a norm of kind {self.norm} has none: turn it off or choose layer")
        if self.norm_bias and not self.norm_gain:
            raise ValueError("norm_bias without norm_gain is built by no known model: turn norm_gain on")
        if self.parallel_residual and self.norm_placement != "pre":
            raise ValueError(
                "a parallel residual reads one normalised stream, "
                f"and norm_placement is {self.norm_placement}: set it to pre"
            )
        if self.norm == "none" and (self.embedding_norm or self.norm_placement != "pre"):
            raise ValueError(
                "norm is none, so embedding_norm and norm_placement have no meaning: drop them or choose a norm"
            )

    def _check_kind(self) -> None:
        if (self.kind == "encoder-decoder") != (self.encoder_layers > 0):
            raise ValueError(
                f"kind is {self.kind} and encoder_layers is {self.encoder_layers}: "
                "an encoder-decoder needs encoder_layers of at least 1, other kinds 0"
            )
        if (self.head == "classes") != (self.classes > 0):
            raise ValueError(f"head is {self.head} and classes is {self.classes}: classes belong to head = classes")
        if self.head == "classes" and (self.kind != "encoder" or self.tied_embeddings):
            raise ValueError(
                "head = classes needs kind = encoder and untied embeddings: change head, kind or tied_embeddings"
            )
        if self.head == "vectors" and (self.kind != "encoder" or self.output_transform or self.output_bias):
            raise ValueError(
                "head = vectors gives what the last block gives: it needs kind = encoder, and output_transform and "
                "output_bias have no place"
            )
        if self.output_transform and self.gated:
            raise ValueError(
                f"output_transform uses the activation, and {self.activation} has a gate: choose one without"
            )
        if (self.token_types or self.output_transform) and self.kind != "encoder":
            raise ValueError(
                f"token_types and output_transform are built for encoders, and kind is {self.kind}: drop them"
            )
        if self.parallel_residual and self.kind == "encoder-decoder":
            raise ValueError("parallel_residual has no place for cross-attention: turn it off or choose another kind")
        if self.value_embeddings and self.kind != "decoder":
            raise ValueError(f"value_embeddings are built for decoders, and kind is {self.kind}: turn them off")
        if self.window is not None and self.window > self.context:
            raise ValueError(f"window {self.window} is longer than the context {self.context}: lower it or drop it")

    def _check_experts(self) -> None:
        if self.experts and self.feedforward_bias:
            raise ValueError("experts have no biases, and feedforward_bias is on: turn it off or drop experts")
        if self.experts and self.experts.dense_layers >= self.layers:
            raise ValueError(
                f"experts.dense_layers is {self.experts.dense_layers} of {self.layers} layers, "
                "so no layer has experts: lower it"
            )
