"""Embeddings and the list of models, by the official client."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import torch

from glassbox.errors import BadInput
from glassbox.hub import Import
from glassbox.hub.tokenizer_files import keep_tokenizer, read_chat_template, read_tokenizer
from glassbox.insight import Reader
from glassbox.serving.embeddings import rows_of, vectors_of


def test_a_text_s_vector_is_the_mean_of_the_last_states_and_of_length_one(client: openai.OpenAI, reader: Reader):
    texts = ["She sells", "sea shells by the sea", "She sells"]
    answer = client.embeddings.create(model="shells", input=texts, encoding_format="float")
    assert [one.index for one in answer.data] == [0, 1, 2]
    for text, given in zip(texts, answer.data, strict=True):
        with torch.no_grad():
            states = reader.model.hidden(reader.tokens(text))[0, 1:]  # behind the mark of a beginning
        mean = states.mean(0)
        assert given.embedding == pytest.approx((mean / mean.norm()).tolist(), abs=1e-5)
        assert np.linalg.norm(given.embedding) == pytest.approx(1, abs=1e-5)
    tokens = sum(reader.tokens(text).shape[1] for text in texts)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == tokens


def test_base64_holds_the_same_numbers(client: openai.OpenAI):
    plain = client.embeddings.create(model="shells", input="sea", encoding_format="float").data[0].embedding
    coded: Any = client.embeddings.create(model="shells", input="sea", encoding_format="base64").data[0].embedding
    assert np.frombuffer(base64.b64decode(coded), "<f4").tolist() == pytest.approx(plain, abs=1e-7)
    assert client.embeddings.create(model="shells", input="sea").data[0].embedding == pytest.approx(plain, abs=1e-7)


def test_ids_are_read_as_they_come(client: openai.OpenAI, reader: Reader):
    ids = reader.tokenizer.encode("sea shells")
    with torch.no_grad():
        mean = reader.model.hidden(torch.tensor([ids]))[0].mean(0)
    for given in (ids, [ids]):
        answer = client.embeddings.create(model="shells", input=given, encoding_format="float", dimensions=64)
        assert answer.data[0].embedding == pytest.approx((mean / mean.norm()).tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"input": ""}, "Input 0"),
        ({"input": ["a", ""]}, "Input 1"),
        ({"input": [[5], [9999]]}, "9999"),
        ({"input": list(range(300)) * 2}, "600"),
        ({"input": "sea " * 2000}, "at most 512"),
        ({"input": []}, "input"),
        ({"input": "a", "dimensions": 32}, "64 numbers"),
    ],
)
def test_what_has_no_vector_is_refused(client: openai.OpenAI, wrong: dict[str, Any], said: str):
    with pytest.raises(openai.BadRequestError, match=said):
        client.embeddings.create(**{"model": "shells"} | wrong)


@pytest.mark.parametrize("family", ["llama 2", "gpt2", "qwen3"])
def test_vectors_are_the_mean_of_transformers_hidden_states(family: str, tmp_path: Path):
    published = pytest.importorskip("published_models", reason="transformers is not installed")
    theirs = published.saved(family, tmp_path / "theirs")
    published.save_tokenizer(tmp_path / "theirs")
    ours = tmp_path / "ours"
    ours.mkdir()
    imported = Import(tmp_path / "theirs")
    imported.write(ours)
    tokenizer = read_tokenizer(imported.folder, imported.spec.vocabulary_size)
    assert tokenizer is not None
    keep_tokenizer(tokenizer, read_chat_template(imported.folder), ours / "tokenizer")
    rows = published.tokens().tolist()
    reader = Reader.load(ours)
    vectors = vectors_of(reader.model, rows_of(reader, rows))
    with torch.no_grad():
        states = theirs(torch.tensor(rows), output_hidden_states=True).hidden_states[-1].double()
    means = states.mean(1)
    expected = means / means.norm(dim=-1, keepdim=True)
    np.testing.assert_allclose(vectors, expected.numpy(), atol=2e-5)


def test_half_of_a_surrogate_pair_is_refused(reader: Reader):
    with pytest.raises(BadInput, match="Input 0"):
        rows_of(reader, ["\ud800"])


def test_the_one_model_is_listed_with_what_it_can_do(client: openai.OpenAI):
    [model] = client.models.list().data
    assert model.id == "shells"
    assert model.object == "model"
    assert model.owned_by == "glassbox"
    told = model.model_dump()
    assert told["chat_template"] == "plain"
    assert told["context"] == 512
    assert told["kind"] == "decoder"
    assert told["abilities"] == ["chat", "completions", "embeddings", "trace"]
    assert client.models.retrieve("shells") == model


def test_another_model_is_not_found(client: openai.OpenAI):
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("gpt-4o")
    assert raised.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="Ask for shells"):
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="../shells", input="a")
