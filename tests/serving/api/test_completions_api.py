"""Completions by the official client, against a real process."""

from __future__ import annotations

from typing import Any

import openai
import pytest
import torch

from glassbox.generation import Decoder, Decoding
from glassbox.insight import Reader, next_tokens

PROMPT = "She sells sea"


@pytest.fixture
def ends(reader: Reader) -> tuple[int, ...]:
    return (reader.tokenizer.special_tokens["<|endoftext|>"],)


def test_a_text_is_continued_as_the_decoder_continues_it(
    client: openai.OpenAI, decoder: Decoder, ends: tuple[int, ...]
):
    answer = client.completions.create(model="shells", prompt=PROMPT, seed=9)
    [expected] = decoder.complete([PROMPT], Decoding(max_tokens=16, seed=9, end_tokens=ends))
    assert answer.choices[0].text == expected.text
    assert answer.object == "text_completion"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(expected.ids) == 16


def test_several_prompts_each_get_their_choices_in_order(
    client: openai.OpenAI, decoder: Decoder, ends: tuple[int, ...]
):
    prompts = [PROMPT, "The shells", ""]
    answer = client.completions.create(model="shells", prompt=prompts, n=2, seed=4, max_tokens=9)
    texts = [choice.text for choice in answer.choices]
    settings = Decoding(max_tokens=9, seed=4, end_tokens=ends)
    assert texts == [one.text for prompt in prompts for one in decoder.complete([prompt] * 2, settings)]
    assert [choice.index for choice in answer.choices] == list(range(6))
    parts = [""] * 6
    for chunk in client.completions.create(model="shells", prompt=prompts, n=2, seed=4, max_tokens=9, stream=True):
        assert chunk.usage is None
        for choice in chunk.choices:
            parts[choice.index] += choice.text
    assert parts == texts


def test_ids_are_continued_as_the_text_that_they_spell(client: openai.OpenAI, reader: Reader):
    ids = reader.tokenizer.encode(PROMPT)
    settings: Any = {"model": "shells", "temperature": 0, "max_tokens": 8}
    text = client.completions.create(prompt=PROMPT, **settings).choices[0].text
    assert client.completions.create(prompt=ids, **settings).choices[0].text == text
    both = client.completions.create(prompt=[ids, ids], **settings)
    assert [choice.text for choice in both.choices] == [text, text]


def test_echo_begins_with_the_prompt_and_judges_it(client: openai.OpenAI, reader: Reader):
    text = "She sells Zoë"
    answer = client.completions.create(model="shells", prompt=text, echo=True, logprobs=2, max_tokens=3, temperature=0)
    [choice] = answer.choices
    assert choice.text.startswith(text)
    assert choice.logprobs is not None
    ids = reader.tokenizer.encode(text)
    said = next_tokens(reader.model, torch.tensor([ids]), count=2)
    judged = choice.logprobs.token_logprobs
    assert judged is not None
    assert judged[0] is None
    assert judged[1 : len(ids)] == pytest.approx((-said.loss[0]).tolist(), abs=1e-4)
    others = choice.logprobs.top_logprobs
    assert others is not None
    assert sorted(others[1].values(), reverse=True) == pytest.approx(said.probabilities[0, 0].log().tolist(), abs=1e-4)
    assert choice.logprobs.tokens is not None
    assert choice.logprobs.text_offset is not None
    assert len(choice.logprobs.tokens) == len(ids) + 3 == len(judged) == len(others)
    for token, offset in zip(choice.logprobs.tokens, choice.logprobs.text_offset, strict=True):
        if not token.startswith("bytes:"):
            assert choice.text[offset:].startswith(token)


def test_a_prompt_alone_may_be_judged(client: openai.OpenAI, reader: Reader):
    answer = client.completions.create(model="shells", prompt=PROMPT, echo=True, logprobs=0, max_tokens=0)
    [choice] = answer.choices
    assert choice.text == PROMPT
    assert choice.finish_reason == "length"
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == reader.pieces(torch.tensor(reader.tokenizer.encode(PROMPT)))
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 0


def test_an_echoed_stream_says_what_the_whole_answer_says(client: openai.OpenAI):
    settings: Any = {"model": "shells", "prompt": PROMPT, "echo": True, "logprobs": 1, "max_tokens": 30, "seed": 1}
    whole = client.completions.create(**settings).choices[0]
    parts = list(client.completions.create(**settings, stream=True, stream_options={"include_usage": True}))
    *told, usage = parts
    assert usage.usage is not None
    assert usage.usage.completion_tokens == 30
    assert "".join(part.choices[0].text for part in told) == whole.text
    assert told[-1].choices[0].finish_reason == whole.finish_reason
    assert whole.logprobs is not None
    offsets = [offset for part in told if part.choices[0].logprobs
               for offset in part.choices[0].logprobs.text_offset or ()]  # fmt: skip
    assert offsets == whole.logprobs.text_offset


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"prompt": [0, 5000]}, "prompt"),
        ({"prompt": [[-1]]}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"best_of": 4, "n": 2}, "best_of"),
        ({"prompt": ["a"] * 100, "n": 2}, "n"),
        ({"suffix": "end"}, "suffix"),
        ({"logprobs": 21}, "logprobs"),
        ({"top_p": 1e-12}, None),
        ({"prompt": "sea " * 2000}, "prompt"),
    ],
)
def test_what_cannot_be_completed_is_refused_by_the_name_of_its_field(
    client: openai.OpenAI, wrong: dict[str, Any], param: str | None
):
    with pytest.raises(openai.BadRequestError) as raised:
        client.completions.create(**{"model": "shells", "prompt": "a"} | wrong)
    assert raised.value.param == param
