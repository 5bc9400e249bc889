"""How fast a mixture of experts is: ours beside Mixtral's of `transformers`, and beside a dense network of equal work.

    python benchmarks/experts.py            forward and backward pass of one layer, both number formats, three sizes
    python benchmarks/experts.py decode     one token of one sequence at a time: our step beside transformers' forward

The same weights and tokens on all sides, in turns in one process, so that a busy machine hurts all; the fastest of
each, as ratios to ours. `--threads` is 1 unless told otherwise. `dense` is our own feed-forward network as wide as all
experts together that a token visits: what a mixture would cost if sorting tokens and many small products cost nothing.
Prints JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable

from glassbox.engines.tensors import Transformer  # before torch allocates anything
from glassbox.engines.tensors.cache import Cache
from glassbox.engines.tensors.experts import MixtureOfExperts
from glassbox.engines.tensors.feedforward import feedforward
from glassbox.engines.tensors.step import Step
from glassbox.engines.values import NOTHING
from glassbox.spec import Experts, ModelSpec

import torch  # isort: skip  (after glassbox)
from torch import Tensor, nn  # isort: skip  (after glassbox)
from transformers import DynamicCache, MixtralConfig, MixtralForCausalLM  # isort: skip  (after glassbox)
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock  # isort: skip  (after glassbox)

SIZES = {  # tokens, width, experts, visited, hidden width of one
    "small": (1_024, 128, 8, 2, 256),
    "medium": (2_048, 256, 8, 2, 512),
    "fine": (2_048, 256, 32, 4, 128),
}


def described(width: int, count: int, active: int, hidden: int) -> ModelSpec:
    return ModelSpec(
        vocabulary_size=512,
        context=256,
        width=width,
        layers=4,
        heads=width // 32,
        activation="swiglu",
        experts=Experts(count=count, active=active, hidden_width=hidden),
    )


def mixtral(spec: ModelSpec, implementation: str) -> MixtralConfig:
    assert spec.experts is not None
    return MixtralConfig(
        vocab_size=spec.vocabulary_size,
        hidden_size=spec.width,
        intermediate_size=spec.experts.hidden_width,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.heads,
        num_local_experts=spec.experts.count,
        num_experts_per_tok=spec.experts.active,
        max_position_embeddings=spec.context,
        experts_implementation=implementation,
    )


def in_turns(sides: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Seconds of the fastest run of each, one after another until the time is over."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    end = time.perf_counter() + seconds
    for side in sides.values():
        side()  # libraries begin
    while time.perf_counter() < end or len(next(iter(times.values()))) < 5:
        for name, side in sides.items():
            begin = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - begin)
    return {name: min(each) for name, each in times.items()}


def layer(size: str, bfloat16: bool, seconds: float) -> dict[str, float]:
    tokens, width, count, active, hidden = SIZES[size]
    spec = described(width, count, active, hidden)
    ours = MixtureOfExperts(spec)
    dense = feedforward(spec, active * hidden)
    for weight in (*ours.parameters(), *dense.parameters()):
        nn.init.normal_(weight, std=0.05)
    theirs = {name: MixtralSparseMoeBlock(mixtral(spec, name)) for name in ("eager", "grouped_mm")}
    for block in theirs.values():
        block.gate.weight.data = ours.router.data
        block.experts.gate_up_proj.data = ours.experts.gate_up.data
        block.experts.down_proj.data = ours.experts.down.data
    x = torch.randn(4, tokens // 4, width, requires_grad=True)
    context = torch.autocast("cpu", torch.bfloat16) if bfloat16 else contextlib.nullcontext()

    def passes(forward: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        def run() -> None:
            with context:
                loss = forward(x).float().square().mean()
            loss.backward()

        return run

    with torch.no_grad():
        expected = theirs["eager"](x)
        assert torch.allclose(ours(x, NOTHING), expected, atol=1e-4), "the two sides compute different things"
    sides = {"ours": passes(lambda x: ours(x, NOTHING)), "dense": passes(lambda x: dense(x, NOTHING))}
    for name, block in theirs.items():
        if not (bfloat16 and name == "grouped_mm"):  # refuses autocast's mixture of formats
            sides[f"transformers, {name}"] = passes(block)
    fastest = in_turns(sides, seconds)
    return {"ours_milliseconds": round(fastest["ours"] * 1e3, 2)} | {
        name: round(each / fastest["ours"], 2) for name, each in fastest.items() if name != "ours"
    }


def decode(seconds: float) -> dict[str, float]:
    spec = described(256, 8, 2, 512)
    model = Transformer(spec).eval()
    step, cache = Step(model, 1), Cache(spec, 1, spec.context, like=model.embedding.tokens)
    theirs = MixtralForCausalLM(mixtral(spec, "eager")).eval()
    token = torch.zeros(1, dtype=torch.int64)

    def ours() -> None:
        cache.length = 64
        step(token, cache)

    past = DynamicCache(config=theirs.config)

    def peer() -> None:
        past.crop(64 - past.get_seq_length())
        theirs(token[None], past_key_values=past, use_cache=True)

    with torch.inference_mode():
        model(torch.zeros(1, 64, dtype=torch.int64), cache=cache)
        theirs(torch.zeros(1, 64, dtype=torch.int64), past_key_values=past, use_cache=True)
        fastest = in_turns({"ours": ours, "transformers": peer}, seconds)
    return {
        "ours_milliseconds": round(fastest["ours"] * 1e3, 3),
        "transformers": round(fastest["transformers"] / fastest["ours"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="layer", choices=["layer", "decode"])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each comparison")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.what == "decode":
        print(json.dumps(decode(asked.seconds)))
        return
    for size in SIZES:
        for bfloat16 in (False, True):
            found = layer(size, bfloat16, asked.seconds)
            print(json.dumps({"size": size, "format": "bf16" if bfloat16 else "fp32"} | found))


if __name__ == "__main__":
    main()
