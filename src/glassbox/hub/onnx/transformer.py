"""The forward pass of a decoder or encoder as a graph: ids (batch, length) to logits.

Values keep their canonical names (`blocks.0.attention.output`). Throughout, a token is a row: (batch * length, width).
"""

from __future__ import annotations

import math

import numpy as np

from glassbox.errors import BadInput
from glassbox.hub.onnx.graph import Graph
from glassbox.spec import ModelSpec
from glassbox.spec.rotary import rotary_frequencies

GATES = {"swiglu": "silu", "geglu": "gelu", "geglu_tanh": "gelu_tanh"}  # what bends the gate

TOKENS, TYPES, LOGITS = "tokens", "types", "logits"


def check_carried(spec: ModelSpec) -> None:
    """Raises BadInput for a model that isn't built here."""
    lacking = {
        "encoder-decoders": spec.kind == "encoder-decoder",
        "mixtures of experts": spec.experts is not None,
        "relative positions": spec.positions == "relative",
    }
    for what, there in lacking.items():
        if there:
            raise BadInput(f"The export to ONNX carries no {what}.", "Export to Hugging Face's format.")


class TransformerGraph:
    """Adds the nodes of a model to a graph, part by part. Raises BadInput as `check_carried`.

    inputs: what the graph reads: `tokens`, and `types` where tokens have them, each (batch, length) of int64.
    output: the shape of `logits`, which are vectors where there is no head.
    """

    def __init__(self, spec: ModelSpec, graph: Graph) -> None:
        check_carried(spec)
        self.spec = spec
        self.graph = graph
        self.inputs = [TOKENS, TYPES] if spec.token_types else [TOKENS]
        last = {"language": spec.vocabulary_size, "classes": spec.classes, "vectors": spec.width}[spec.head]
        self.output: list[str | int] = ["batch", last] if spec.head == "classes" else ["batch", "length", last]
        g = graph
        shape = g.add("Shape", TOKENS)  # (2,)
        self.batch = g.add("Slice", shape, g.constant([0]), g.constant([1]))
        self.length = g.add("Slice", shape, g.constant([1]), g.constant([2]))
        self.ids = g.reshape(TOKENS, -1)  # (batch * length,)
        self.positions = g.add("Range", g.constant(np.array(0)), g.add("Squeeze", self.length), g.constant(np.array(1)))
        self.bias = self._bias()
        self.rotary = self._rotary() if spec.positions == "rotary" else None

    def build(self) -> None:
        """From `tokens` to `logits`."""
        spec, g = self.spec, self.graph
        x = self._embedding()
        if spec.embedding_norm:
            x = self._norm(x, "embedding_norm", spec.width)
        for layer in range(spec.layers):
            x = self._block(x, layer)
        if spec.final_norm:
            x = self._norm(x, "final_norm", spec.width)
        if spec.head == "classes":  # a classifier reads its first token
            x = g.add("Gather", g.reshape(x, self.batch, self.length, spec.width), g.constant(np.array(0)), axis=1)
        if spec.head == "vectors":
            g.add("Identity", g.reshape(x, self.batch, self.length, spec.width), called=LOGITS)
            return
        if spec.output_transform:
            x = self._linear(x, "output.transform", "output.transform_bias")
            x = g.add("Tanh", x) if spec.head == "classes" else self._bent(x, spec.activation)
            x = self._norm(x, "output.transform_norm", spec.width) if spec.head == "language" else x
        if spec.logit_scale != 1:
            x = self._times(x, spec.logit_scale)
        logits = self._linear(x, "embedding.tokens" if spec.tied_embeddings else "output.weight", "output.bias")
        if spec.logit_softcap is not None:
            capped = g.add("Tanh", self._times(logits, 1 / spec.logit_softcap))
            logits = self._times(capped, spec.logit_softcap)
        if spec.head == "language":
            logits = g.reshape(logits, self.batch, self.length, spec.vocabulary_size)
        g.add("Identity", logits, called=LOGITS)

    # ---- positions ----

    def _bias(self) -> str | None:
        """What is added to the scores: (length, length), or with ALiBi (key_value_heads, group, length, length)."""
        spec, g = self.spec, self.graph
        queries = g.add("Unsqueeze", self.positions, g.constant([1]))
        distance = g.add("Sub", queries, self.positions)  # (length, length): how far the key lies behind the query
        hidden = g.add("Less", distance, g.constant(np.array(0))) if spec.causal else None
        if spec.window is not None:
            far = g.add("GreaterOrEqual", g.add("Abs", distance), g.constant(np.array(spec.window)))
            hidden = far if hidden is None else g.add("Or", hidden, far)
        bias = None
        if hidden is not None:
            bias = g.add("Where", hidden, g.constant(np.array(-np.inf)), g.constant(np.array(0.0)))
        if spec.positions == "alibi":
            slopes = np.array(alibi_slopes(spec.heads)).reshape(spec.key_value_heads, -1, 1, 1)
            penalty = g.add("Mul", g.add("Cast", g.add("Abs", distance), to=1), g.constant(-slopes))
            bias = penalty if bias is None else g.add("Add", penalty, bias)
        return bias

    def _rotary(self) -> tuple[str, str]:
        """Cosines and sines of each position, (length, 1, rotated_width / 2)."""
        angles = np.arange(self.spec.context)[:, None] * np.array(rotary_frequencies(self.spec))
        tables = (np.cos(angles)[:, None], np.sin(angles)[:, None])
        cosines, sines = (self.graph.add("Gather", self.graph.constant(table), self.positions) for table in tables)
        return cosines, sines

    # ---- parts ----

    def _embedding(self) -> str:
        spec, g = self.spec, self.graph
        x = g.add("Gather", g.weight("embedding.tokens"), self.ids)  # (batch * length, width)
        if spec.embedding_scale != 1:
            x = self._times(x, spec.embedding_scale)
        if spec.token_types:
            x = g.add("Add", x, g.add("Gather", g.weight("embedding.token_types"), g.reshape(TYPES, -1)))
        if spec.positions not in ("learned", "sinusoidal"):
            return g.add("Identity", x, called="embedding.output")
        learned = spec.positions == "learned"
        table = g.weight("embedding.positions") if learned else g.constant(sinusoidal_table(spec.context, spec.width))
        vectors = g.add("Gather", table, self.positions)  # (length, width)
        apart = g.reshape(x, self.batch, self.length, spec.width)
        return g.reshape(g.add("Add", apart, vectors, called="embedding.output"), -1, spec.width)

    def _block(self, x: str, layer: int) -> str:
        spec, g, name = self.spec, self.graph, f"blocks.{layer}"

        def part(kind: str, x: str) -> str:
            """What attention or the feed-forward network adds to the stream."""
            if spec.norm_placement != "post":
                x = self._norm(x, f"{name}.{kind}_norm", spec.width)
            x = self._attention(x, layer) if kind == "attention" else self._feedforward(x, f"{name}.feedforward")
            if spec.norm_placement == "sandwich":
                x = self._norm(x, f"{name}.{kind}_output_norm", spec.width)
            return x

        if spec.parallel_residual:
            both = g.add("Add", part("attention", x), part("feedforward", x))
            return g.add("Add", x, both, called=f"{name}.residual")
        for kind in ("attention", "feedforward"):
            post = spec.norm_placement == "post"
            x = g.add("Add", x, part(kind, x), called=None if post else f"{name}.{kind}.stream")
            if post:
                x = self._norm(x, f"{name}.{kind}_norm", spec.width)
        return x

    def _attention(self, x: str, layer: int) -> str:
        spec, g, name = self.spec, self.graph, f"blocks.{layer}.attention"
        pairs, width = spec.key_value_heads, spec.head_width
        queries = self._linear(x, f"{name}.query", f"{name}.query_bias")
        keys = self._linear(x, f"{name}.key", f"{name}.key_bias")
        values = self._linear(x, f"{name}.value", f"{name}.value_bias")
        if spec.has_value_embedding(layer):
            values = g.add("Add", values, g.add("Gather", g.weight(f"{name}.value_embedding"), self.ids))
        queries, keys, values = (
            g.reshape(each, self.batch, self.length, heads, width)
            for each, heads in ((queries, spec.heads), (keys, pairs), (values, pairs))
        )
        if spec.qk_norm:
            queries = self._norm(queries, f"{name}.query_norm", width, kind="rms")
            keys = self._norm(keys, f"{name}.key_norm", width, kind="rms")
        if self.rotary is not None:
            queries, keys = self._rotated(queries), self._rotated(keys)
        # Heads that share keys and values lie on an axis of their own, (batch, key_value_heads, group, length, width).
        queries = g.reshape(queries, self.batch, self.length, pairs, spec.heads // pairs, width)
        queries = g.add("Transpose", queries, perm=[0, 2, 3, 1, 4])
        keys = g.add("Unsqueeze", g.add("Transpose", keys, perm=[0, 2, 3, 1]), g.constant([2]))
        values = g.add("Unsqueeze", g.add("Transpose", values, perm=[0, 2, 1, 3]), g.constant([2]))
        scores = self._times(g.add("MatMul", queries, keys), spec.score_scale)
        if self.bias is not None:
            scores = g.add("Add", scores, self.bias)
        weights = g.add("Softmax", scores, axis=-1, called=f"{name}.weights")
        mixed = g.add("MatMul", weights, values, called=f"{name}.mixed")
        rows = g.reshape(g.add("Transpose", mixed, perm=[0, 3, 1, 2, 4]), -1, spec.heads * width)
        return self._linear(rows, f"{name}.output", f"{name}.output_bias")

    def _rotated(self, x: str) -> str:
        """The first channels of each head turned by their position: (batch, length, heads, head_width) -> the same."""
        assert self.rotary is not None
        g, half, width = self.graph, self.spec.rotated_width // 2, self.spec.head_width
        cosines, sines = self.rotary
        lengths = [half, half] + ([width - 2 * half] if width > 2 * half else [])
        first, second, *rest = g.split(x, lengths)
        turned = (
            g.add("Sub", g.add("Mul", first, cosines), g.add("Mul", second, sines)),
            g.add("Add", g.add("Mul", second, cosines), g.add("Mul", first, sines)),
        )
        return g.add("Concat", *turned, *rest, axis=-1)

    def _feedforward(self, x: str, name: str) -> str:
        g, activation = self.graph, self.spec.activation
        up = self._linear(x, f"{name}.up", f"{name}.up_bias")
        if self.spec.gated:
            gate = self._linear(x, f"{name}.gate", f"{name}.gate_bias")
            bent = g.add("Mul", self._bent(gate, GATES[activation]), up)
        else:
            bent = self._bent(up, activation)
        hidden = g.add("Identity", bent, called=f"{name}.hidden")
        return self._linear(hidden, f"{name}.down", f"{name}.down_bias")

    def _bent(self, x: str, activation: str) -> str:
        g = self.graph
        if activation == "relu":
            return g.add("Relu", x)
        if activation == "relu_squared":
            positive = g.add("Relu", x)
            return g.add("Mul", positive, positive)
        if activation == "silu":
            return g.add("Mul", x, g.add("Sigmoid", x))
        if activation not in ("gelu", "gelu_tanh"):
            raise BadInput(f"The export to ONNX carries no {activation}.", "Export to Hugging Face's format.")
        return g.add("Gelu", x, approximate="tanh" if activation == "gelu_tanh" else "none")

    def _norm(self, x: str, name: str, width: int, kind: str | None = None) -> str:
        spec, g = self.spec, self.graph
        kind = kind or spec.norm
        if kind == "none":
            return x
        if kind == "rms":
            mean = g.add("ReduceMean", g.add("Mul", x, x), g.constant([-1]), keepdims=1)
            root = g.add("Sqrt", g.add("Add", mean, g.constant(np.array(spec.norm_epsilon, np.float32))))
            y = g.add("Div", x, root)
        else:
            groups = spec.norm_groups if kind == "group" else 1
            apart = x if groups == 1 else g.reshape(x, -1, groups, width // groups)
            ones = g.constant(np.ones(width // groups, np.float32))
            y = g.add("LayerNormalization", apart, ones, axis=-1, epsilon=spec.norm_epsilon)
            y = y if groups == 1 else g.reshape(y, -1, width)
        if g.has(f"{name}.gain"):
            y = g.add("Mul", y, g.weight(f"{name}.gain"))
        if g.has(f"{name}.bias"):
            y = g.add("Add", y, g.weight(f"{name}.bias"))
        return g.add("Identity", y, called=f"{name}.normalised")

    def _linear(self, x: str, weight: str, bias: str) -> str:
        """Rows times the transposed matrix, plus the bias if the model has it: (rows, inputs) -> (rows, outputs)."""
        g = self.graph
        summand = [g.weight(bias)] if g.has(bias) else []
        named = weight.startswith("blocks.") and weight.endswith(".output")
        return g.add("Gemm", x, g.weight(weight), *summand, transB=1, called=f"{weight}.rows" if named else None)

    def _times(self, x: str, factor: float) -> str:
        return self.graph.add("Mul", x, self.graph.constant(np.array(factor, np.float32)))


def sinusoidal_table(length: int, width: int) -> np.ndarray:
    """(length, width): sine in even channels, cosine in odd, wavelengths 2 pi to 20,000 pi (Vaswani 2017, §3.5)."""
    angles = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(0, width, 2) / width)
    return np.stack((np.sin(angles), np.cos(angles)), axis=-1).reshape(length, width)


def alibi_slopes(heads: int) -> list[float]:
    """(heads,): a geometric sequence from 2^(-8/heads); where that is no power of two, the power below, filled up from
    the power above (ALiBi, Press et al. 2022, §3, and the authors' code)."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8 * (i + 1) / power) for i in range(power)]
    return slopes + [2.0 ** (-4 * (2 * i + 1) / power) for i in range(heads - power)]
