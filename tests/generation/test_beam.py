"""Beam search: `transformers` finds the same answers, and the tree holds what was followed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from glassbox.engines.tensors import Transformer
from glassbox.errors import BadInput
from glassbox.generation import beam_search
from glassbox.spec import ModelSpec

SPEC = ModelSpec(vocabulary_size=7, context=16, width=16, layers=2, heads=4, initial_std=0.6)


def model_of(seed: int = 0, **changes: Any) -> Transformer:
    return Transformer(SPEC.replace(**changes), seed).double()


def log_probability(model: Transformer, prompt: list[int], answer: tuple[int, ...]) -> float:
    tokens = torch.tensor([[*prompt, *answer]])
    scores = model(tokens[:, :-1])[0].log_softmax(-1)[0, len(prompt) - 1 :]
    return float(scores.gather(1, torch.tensor(answer)[:, None]).sum())


def test_one_beam_is_greedy() -> None:
    model = model_of()
    assert list(beam_search(model, [1, 2], beams=1, max_tokens=8).hypotheses[0].ids) == model.generate([1, 2], 8)[2:]


def test_enough_beams_find_the_best_of_all_answers() -> None:
    model = model_of()
    found = beam_search(model, [3], beams=49, max_tokens=3)
    every = sorted(
        (log_probability(model, [3], answer) / 3, answer) for answer in itertools.product(range(7), repeat=3)
    )
    assert found.hypotheses[0].ids == every[-1][1]
    assert found.hypotheses[0].score == pytest.approx(every[-1][0])


@pytest.mark.parametrize(("beams", "length_penalty"), [(2, 1.0), (3, 0.0), (4, 2.0), (5, -1.0)])
def test_answers_and_scores_are_those_of_transformers(beams: int, length_penalty: float) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.LlamaConfig(
        vocab_size=7, hidden_size=16, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=6, pad_token_id=0,
    )  # fmt: skip
    theirs = transformers.LlamaForCausalLM(config).double().eval()
    for seed in range(6):
        ours = model_of(seed, context=64, activation="swiglu", hidden_width=40)
        pairs = {"input_layernorm": "attention_norm.gain", "post_attention_layernorm": "feedforward_norm.gain"}
        pairs |= {f"self_attn.{name[0]}_proj": f"attention.{name}" for name in ("query", "key", "value", "output")}
        pairs |= {f"mlp.{name}_proj": f"feedforward.{name}" for name in ("gate", "up", "down")}
        weights = ours.weights()
        copied = {
            "model.embed_tokens.weight": weights["embedding.tokens"],
            "model.norm.weight": weights["final_norm.gain"],
            "lm_head.weight": weights["output.weight"],
        }
        for layer in range(2):
            for their, our in pairs.items():
                copied[f"model.layers.{layer}.{their}.weight"] = weights[f"blocks.{layer}.{our}"]
        theirs.load_state_dict(copied)
        expected = theirs.generate(
            torch.tensor([[1, 2]]), num_beams=beams, num_return_sequences=beams, max_new_tokens=10, do_sample=False,
            length_penalty=length_penalty, early_stopping=False, return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
        found = beam_search(
            ours, [1, 2], beams=beams, max_tokens=10, length_penalty=length_penalty, end_tokens=[6]
        ).hypotheses
        best = expected.sequences[0, 2:].tolist()
        size = len(found[0].ids)
        assert list(found[0].ids) == best[:size]
        assert set(best[size:]) <= {6}, (best, found[0])  # an answer that ended is filled up
        assert found[0].score == pytest.approx(float(expected.sequences_scores[0]), rel=1e-4)


def test_the_tree_holds_every_token_followed_with_its_log_probability() -> None:
    model = model_of()
    search = beam_search(model, [1, 2], beams=3, max_tokens=6, end_tokens=[4])
    for node in search.nodes:
        assert node.parent is None or search.nodes[node.parent].depth == node.depth - 1
        assert (node.state == "ended") == (node.token == 4)
        path, at = [], node
        while True:
            path.append(at.token)
            if at.parent is None:
                break
            at = search.nodes[at.parent]
        assert node.log_probability == pytest.approx(log_probability(model, [1, 2], tuple(reversed(path))), abs=1e-9)
    for depth in range(1, 7):
        assert sum(node.depth == depth and node.state == "followed" for node in search.nodes) <= 3
    for hypothesis in search.hypotheses:
        assert search.nodes[hypothesis.node].token == hypothesis.ids[-1]


def test_more_beams_than_continuations_are_no_obstacle() -> None:
    search = beam_search(model_of(), [1], beams=20, max_tokens=2)
    assert len({hypothesis.ids for hypothesis in search.hypotheses}) == 20


@pytest.mark.parametrize(
    ("prompt", "beams", "tokens"), [([], 2, 3), ([1] * 16, 2, 3), ([1], 0, 3), ([1], 1001, 3), ([1], 2, 0), ([7], 2, 3)]
)
def test_what_cannot_be_searched_is_bad_input(prompt: list[int], beams: int, tokens: int) -> None:
    with pytest.raises(BadInput):
        beam_search(model_of(), prompt, beams=beams, max_tokens=tokens)
