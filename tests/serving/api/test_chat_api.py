"""Chats by the official client, against a real process."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from own_loop import run_async
from served_child import Child

from glassbox.generation import Completion, Decoder, Decoding
from glassbox.insight import Reader
from glassbox.serving.chat import PLAIN_STOP, Chat

MESSAGES: Any = [{"role": "system", "content": "Sell shells."}, {"role": "user", "content": "Which shells?"}]
PLAIN = "System:\nSell shells.\n\nUser:\nWhich shells?\n\nAssistant:\n"


def alone(decoder: Decoder, prompts: list[str], **settings: Any) -> list[Completion]:
    """What the decoder answers to plainly written chats."""
    assert decoder.tokenizer is not None
    ends = (decoder.tokenizer.special_tokens["<|endoftext|>"],)
    return decoder.complete(prompts, Decoding(**{"stop": PLAIN_STOP, "end_tokens": ends} | settings))


def told(completion: Completion) -> str:
    """In OpenAI's words."""
    return "stop" if completion.finish in ("end", "stop") else "length"


def test_a_chat_is_answered_as_the_decoder_answers(client: openai.OpenAI, decoder: Decoder):
    answer = client.chat.completions.create(
        model="shells", messages=MESSAGES, max_completion_tokens=20, temperature=0.8, top_p=0.9, seed=7
    )
    [expected] = alone(decoder, [PLAIN], max_tokens=20, temperature=0.8, top_p=0.9, seed=7)
    [choice] = answer.choices
    assert choice.message.content == expected.text
    assert choice.message.role == "assistant"
    assert choice.finish_reason == told(expected)
    assert answer.usage is not None
    prompt = len(decoder.encode(PLAIN, Decoding()))
    assert answer.usage.prompt_tokens == prompt
    assert answer.usage.completion_tokens == len(expected.ids)
    assert answer.usage.total_tokens == prompt + len(expected.ids)
    assert answer.object == "chat.completion"
    assert answer.model == "shells"
    assert answer.system_fingerprint is not None
    assert answer.system_fingerprint.startswith("fp_")


def test_a_stream_says_the_same_piece_by_piece(client: openai.OpenAI, decoder: Decoder):
    stream = client.chat.completions.create(
        model="shells", messages=MESSAGES, max_tokens=60, seed=3, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    [expected] = alone(decoder, [PLAIN], max_tokens=60, seed=3)
    assert chunks[0].choices[0].delta.role == "assistant"
    *parts, end, usage = chunks
    assert "".join(part.choices[0].delta.content or "" for part in parts) == expected.text
    assert all(part.choices[0].finish_reason is None and part.usage is None for part in parts)
    assert end.choices[0].finish_reason == told(expected)
    assert not usage.choices
    assert usage.usage is not None
    assert usage.usage.completion_tokens == len(expected.ids)
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)


def test_every_part_tells_what_was_used_so_far_where_that_is_asked_for(client: openai.OpenAI):
    options: Any = {"include_usage": True, "continuous_usage_stats": True}
    for stream in (
        client.chat.completions.create(
            model="shells", messages=MESSAGES, max_tokens=40, seed=3, stream=True, stream_options=options
        ),
        client.completions.create(
            model="shells", prompt="she", max_tokens=40, seed=3, stream=True, stream_options=options
        ),
    ):
        used = [part.usage for part in stream]
        written = [usage.completion_tokens for usage in used if usage is not None]
        assert len(written) == len(used)
        assert written == sorted(written)
        assert written[0] > 0
        assert len({usage.prompt_tokens for usage in used if usage is not None}) == 1


def test_several_choices_are_those_of_as_many_rows(client: openai.OpenAI, decoder: Decoder):
    answer = client.chat.completions.create(model="shells", messages=MESSAGES, max_tokens=12, seed=11, n=3)
    expected = alone(decoder, [PLAIN] * 3, max_tokens=12, seed=11)
    assert [choice.message.content for choice in answer.choices] == [one.text for one in expected]
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({one.text for one in expected}) == 3
    stream = client.chat.completions.create(model="shells", messages=MESSAGES, max_tokens=12, seed=11, n=3, stream=True)
    texts = ["", "", ""]
    for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [one.text for one in expected]


def test_log_probabilities_are_the_model_s_own(client: openai.OpenAI, decoder: Decoder, reader: Reader):
    settings: Any = {"max_tokens": 10, "temperature": 0.5, "seed": 5}
    answer = client.chat.completions.create(
        model="shells", messages=MESSAGES, logprobs=True, top_logprobs=3, **settings
    )
    [expected] = alone(decoder, [PLAIN], alternatives=3, **settings)
    assert expected.likelihoods is not None
    assert answer.choices[0].logprobs is not None
    content = answer.choices[0].logprobs.content
    assert content is not None
    assert len(content) == len(expected.ids)
    for told, id, likelihood in zip(content, expected.ids, expected.likelihoods, strict=True):
        assert bytes(told.bytes or ()) == reader.tokenizer.token_bytes(id)
        assert told.token == reader.tokenizer.decode([id])
        assert told.logprob == pytest.approx(likelihood.log_probability, abs=1e-4)
        assert [other.logprob for other in told.top_logprobs] == pytest.approx(
            [log_probability for _, log_probability in likelihood.alternatives], abs=1e-4
        )
    stream = client.chat.completions.create(
        model="shells", messages=MESSAGES, logprobs=True, top_logprobs=3, stream=True, **settings
    )
    streamed = [entry for chunk in stream for choice in chunk.choices if choice.logprobs
                for entry in choice.logprobs.content or ()]  # fmt: skip
    assert [entry.token for entry in streamed] == [entry.token for entry in content]


def test_a_stop_text_ends_an_answer_and_isn_t_in_it(client: openai.OpenAI, decoder: Decoder):
    [whole] = alone(decoder, [PLAIN], max_tokens=40, temperature=0, stop=())
    stop = next(text for text in (whole.text[at : at + 2] for at in range(8, 40)) if text.isascii())
    for given in (stop, ["never to be seen", stop]):
        answer = client.chat.completions.create(
            model="shells", messages=MESSAGES, max_tokens=40, temperature=0, stop=given
        )
        assert answer.choices[0].message.content == whole.text[: whole.text.index(stop)]
        assert answer.choices[0].finish_reason == "stop"


def test_the_fields_of_our_own_change_the_answer_as_the_decoder_s_do(client: openai.OpenAI, decoder: Decoder):
    ours: Any = {"top_k": 5, "min_p": 0.05, "repetition_penalty": 1.3}
    answer = client.chat.completions.create(
        model="shells", messages=MESSAGES, max_tokens=20, seed=2, presence_penalty=0.5, frequency_penalty=0.2,
        extra_body=ours,
    )  # fmt: skip
    [expected] = alone(decoder, [PLAIN], max_tokens=20, seed=2, presence_penalty=0.5, frequency_penalty=0.2, **ours)
    assert answer.choices[0].message.content == expected.text


def test_without_max_tokens_an_answer_ends_with_the_context(client: openai.OpenAI, decoder: Decoder):
    long: Any = [{"role": "user", "content": "sea shells " * 30}]
    prompt = f"User:\n{long[0]['content']}\n\nAssistant:\n"
    answer = client.chat.completions.create(model="shells", messages=long, temperature=0)
    [expected] = alone(decoder, [prompt], max_tokens=10_000, temperature=0)
    assert answer.choices[0].message.content == expected.text
    assert answer.choices[0].finish_reason == told(expected)


def test_without_a_seed_answers_differ_and_a_negative_seed_is_one(client: openai.OpenAI):
    def ask(**settings: Any) -> str | None:
        answer = client.chat.completions.create(model="shells", messages=MESSAGES, max_tokens=16, **settings)
        return answer.choices[0].message.content

    assert ask() != ask()
    assert ask(seed=-4) == ask(seed=-4) != ask(seed=4)


def test_content_may_come_in_parts_and_a_developer_speaks_as_the_system(
    client: openai.OpenAI, decoder: Decoder, reader: Reader
):
    parts: Any = [
        {"role": "developer", "content": "Sell."},
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "shell?"}]},
        # What a client hands back of an earlier answer.
        {"role": "assistant", "content": "Yes.", "refusal": None, "tool_calls": None, "annotations": None},
        {"role": "user", "content": "Go", "name": "zoe"},
    ]
    answer = client.chat.completions.create(
        model="shells", messages=parts, max_tokens=8, temperature=0, user="me", store=False, metadata={"a": "b"},
        response_format={"type": "text"},
    )  # fmt: skip
    prompt = "System:\nSell.\n\nUser:\nOne\nshell?\n\nAssistant:\nYes.\n\nUser:\nGo\n\nAssistant:\n"
    [expected] = alone(decoder, [prompt], max_tokens=8, temperature=0)
    assert answer.choices[0].message.content == expected.text
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(Chat(reader.tokenizer, None, {}).prompt(
        [{"role": "system", "content": "Sell."}, {"role": "user", "content": "One\nshell?"},
         {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Go"}]
    ))  # fmt: skip


def test_sixteen_streams_at_once_each_say_what_they_would_alone(server: Child, decoder: Decoder):
    async def ask(client: openai.AsyncOpenAI, number: int) -> str:
        stream = await client.chat.completions.create(
            model="shells", messages=[{"role": "user", "content": f"Shell {number}" + "!" * number}],
            max_tokens=40 + number, seed=number, stream=True,
        )  # fmt: skip
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def ask_all() -> list[str]:
        async with server.asynchronous_client() as client:
            return await asyncio.gather(*(ask(client, number) for number in range(16)))

    answers = run_async(ask_all())
    for number, answer in enumerate(answers):
        prompt = f"User:\nShell {number}" + "!" * number + "\n\nAssistant:\n"
        [expected] = alone(decoder, [prompt], max_tokens=40 + number, seed=number)
        assert answer == expected.text
