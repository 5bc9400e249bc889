"""What a model computes, over HTTP: the numbers of `glassbox.insight`."""

from __future__ import annotations

import concurrent.futures
import re
from typing import Any

import httpx
import pytest
import torch
from served_child import Child

from glassbox.engines.values import value_shapes
from glassbox.insight import (
    Reader,
    attribute_logits,
    detect_heads,
    logit_lens,
    next_tokens,
    patch_activations,
    residual_norms,
    trace,
)
from glassbox.serving.trace_views import VIEWS

TEXT = "She sells sea shells"


def ask(web: httpx.Client, view: str, status: int = 200, **asked: Any) -> Any:
    answer = web.post(f"/trace/{view}", json={"input": TEXT} | asked)
    assert answer.status_code == status, answer.text
    return answer.json()


def near(values: Any) -> Any:
    """Six significant digits are sent."""
    return pytest.approx(torch.as_tensor(values).double().numpy(), rel=2e-4, abs=1e-6)


def test_what_can_be_asked_is_listed(web: httpx.Client, reader: Reader):
    told = web.get("/trace").json()
    assert [view["name"] for view in told["views"]] == list(VIEWS)
    assert all(view["shows"].endswith(".") and "input" in view["fields"] for view in told["views"])
    assert [value["name"] for value in told["values"]] == list(value_shapes(reader.model.spec, 1, 1))
    shapes = {value["name"]: value["shape"] for value in told["values"]}
    assert shapes["blocks.0.attention.weights"] == [1, 2, "length", "length"]
    assert "induction" in told["patterns"]


def test_every_answer_names_the_tokens_that_were_read(web: httpx.Client, reader: Reader):
    tokens = reader.tokens(TEXT)
    for given in (TEXT, tokens[0].tolist()):
        read = ask(web, "stream", input=given)["tokens"]
        assert [token["id"] for token in read] == tokens[0].tolist()
        assert [token["text"] for token in read] == reader.pieces(tokens)


def test_values_and_gradients_by_name(web: httpx.Client, reader: Reader):
    names = ["blocks.*.attention.scores", "final_norm.output"]
    told = ask(web, "values", names=names, gradients=["blocks.0.residual"])
    seen = trace(reader, TEXT, names, gradients=["blocks.0.residual"])
    assert told["loss"] == pytest.approx(seen.loss, rel=1e-5)
    assert list(told["values"]) == list(seen.values)
    assert torch.tensor(told["values"]["final_norm.output"]) == near(seen.values["final_norm.output"])
    assert torch.tensor(told["gradients"]["blocks.0.residual"]) == near(seen.gradients["blocks.0.residual"])
    scores = told["values"]["blocks.1.attention.scores"]
    assert scores[0][0][0][1] is None, "what a token must not see has a score of minus infinity, which JSON lacks"
    assert scores[0][0][1][:2] == near(seen.values["blocks.1.attention.scores"][0, 0, 1, :2])


def test_predictions(web: httpx.Client, reader: Reader):
    told = ask(web, "predictions", count=3)
    said = next_tokens(reader.model, reader.tokens(TEXT), count=3)
    assert told["loss"][0] is told["rank"][0] is None
    assert told["loss"][1:] == near(said.loss[0])
    assert told["rank"][1:] == (said.rank[0] + 1).tolist()
    assert told["entropy"] == near(said.entropy[0])
    assert [[token["id"] for token in place] for place in told["likeliest"]] == said.likeliest[0].tolist()
    assert torch.tensor(told["probabilities"]) == near(said.probabilities[0])


def test_attention_of_all_heads_or_one(web: httpx.Client, reader: Reader):
    seen = trace(reader, TEXT, ["blocks.*.attention.weights"]).values
    told = ask(web, "attention")
    assert (told["layers"], told["heads"]) == ([0, 1], [0, 1])
    for layer in (0, 1):
        assert torch.tensor(told["weights"][layer]) == near(seen[f"blocks.{layer}.attention.weights"][0])
    one = ask(web, "attention", layer=1, head=0)
    assert torch.tensor(one["weights"][0][0]) == near(seen["blocks.1.attention.weights"][0, 0])


def test_heads(web: httpx.Client, reader: Reader):
    told = ask(web, "heads", ablation="mean")["heads"]
    found = detect_heads(reader.model, reader.tokens(TEXT), kind="mean")
    assert len(told) == 4
    for head in told:
        at = head["layer"], head["head"]
        assert head["found"] == found.found(*at)
        assert head["loss_without"] == pytest.approx(float(found.ablation[at]), abs=1e-4)
        assert head["scores"]["previous"] == pytest.approx(float(found.scores["previous"][at]), rel=1e-4)


def test_lens(web: httpx.Client, reader: Reader):
    told = ask(web, "lens", count=2)["rows"]
    rows = logit_lens(reader.model, reader.tokens(TEXT), count=2)
    assert [row["name"] for row in told] == [row.name for row in rows]
    for row, expected in zip(told, rows, strict=True):
        assert torch.tensor(row["probabilities"]) == near(expected.said.probabilities[0])


def test_stream_and_operations(web: httpx.Client, reader: Reader):
    norms = residual_norms(reader.model, reader.tokens(TEXT))
    told = ask(web, "stream")["norms"]
    assert list(told) == list(norms)
    assert all(told[name] == near(norms[name][0]) for name in norms)
    operations = ask(web, "operations")["operations"]
    shapes = value_shapes(reader.model.spec, 1, reader.tokens(TEXT).shape[1])
    assert [(row["name"], tuple(row["shape"])) for row in operations] == list(shapes.items())
    weights = next(row for row in operations if row["name"] == "blocks.0.attention.weights")
    assert 0 <= weights["min"] <= weights["mean"] <= weights["max"] <= 1


def test_attribution(web: httpx.Client, reader: Reader):
    told = ask(web, "attribution")
    tokens = reader.tokens(TEXT)
    said = logit_lens(reader.model, tokens, count=2)[-1].said
    found = attribute_logits(reader.model, tokens, said.likeliest[..., 0], said.likeliest[..., 1])
    assert told["names"] == found.names
    assert torch.tensor(told["shares"]) == pytest.approx(found.shares[:, 0].numpy(), abs=1e-4)
    assert torch.tensor(told["differences"]) == pytest.approx(found.logits[0].numpy(), abs=1e-4)
    assert [token["id"] for token in told["answers"]] == said.likeliest[0, :, 0].tolist()


def test_patching(web: httpx.Client, reader: Reader):
    other = "She sells see shells"
    clean, corrupted = reader.tokens(TEXT), reader.tokens(other)
    if clean.shape != corrupted.shape:
        other = [*clean[0, :-2].tolist(), 3, int(clean[0, -1])]
        corrupted = torch.tensor([other])
    told = ask(web, "patching", corrupted=other, value="attention.output", answer=5, foil=6)
    found = patch_activations(reader.model, clean, corrupted, "attention.output", answer=5, foil=6)
    assert told["names"] == found.names
    assert torch.tensor(told["effects"]) == pytest.approx(found.effects.numpy(), abs=1e-3)
    assert (told["answer"], told["foil"]) == (5, 6)
    assert told["clean"] == pytest.approx(found.clean, rel=1e-4)


@pytest.mark.parametrize(
    ("view", "asked", "said"),
    [
        ("values", {}, "Neither names nor gradients"),
        ("values", {"names": ["nothing.like.it"]}, "no intermediate value"),
        ("values", {"names": ["*"], "input": [7] * 500}, "at most 1,000,000"),
        ("values", {"names": ["logits"], "gradients": ["a"] * 65}, "gradients"),
        ("values", {"gradients": ["logits"], "input": [5]}, "gradient"),
        ("attention", {"input": "sea shells " * 250}, "at most 512"),
        ("attention", {"input": [7] * 505}, "at most 1,000,000"),
        ("attention", {"layer": 2}, "no layer 2"),
        ("attention", {"head": -1}, "head"),
        ("heads", {"ablation": "shouting"}, "ablation"),
        ("heads", {"input": "a"}, "three tokens|longer text"),
        ("predictions", {"count": 0}, "count"),
        ("predictions", {"input": [99999]}, "no id 99999"),
        ("predictions", {"input": [-1]}, "no id -1"),
        ("stream", {"input": list(range(300)) * 2}, "at most 512"),
        ("stream", {"layer": 1}, "no field called"),
        ("patching", {}, "corrupted"),
        ("patching", {"corrupted": "She sells sea shells and more"}, "same number"),
        ("patching", {"corrupted": TEXT}, "answered alike"),
        ("patching", {"corrupted": TEXT, "answer": 10**6}, "answer"),
        ("patching", {"corrupted": TEXT, "value": "logits"}, "no intermediate value|changes nothing"),
    ],
)
def test_what_cannot_be_shown_is_told_in_a_sentence(web: httpx.Client, view: str, asked: dict[str, Any], said: str):
    error = ask(web, view, 400, **asked)["error"]
    assert re.search(said, error["message"]), error


def test_a_view_may_be_asked_while_others_are_and_answers_are_written(server: Child, web: httpx.Client):
    stream = server.client().completions.create(
        model="shells", prompt=["a"] * 8, n=2, max_tokens=400, seed=1, stream=True
    )
    next(iter(stream))
    alone = ask(web, "values", names=["logits"], gradients=["blocks.*.residual"])

    def again(_: int) -> Any:
        return httpx.post(f"{server.address}/trace/values", timeout=60, json={
            "input": TEXT, "names": ["logits"], "gradients": ["blocks.*.residual"]
        }).json()  # fmt: skip

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(told == alone for told in pool.map(again, range(16)))
    stream.close()
