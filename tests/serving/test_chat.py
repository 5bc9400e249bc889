"""Same messages, same tokens: those of `transformers`; and no message speaks in another role."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.serving.chat import Chat, special_names
from glassbox.tokenizers import Tokenizer
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.huggingface import HuggingFaceTokenizer

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")

TEXT = "She sells sea shells by the sea shore, <|not a token|> says Zoë \n\n or not? user assistant system\n" * 4
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|end|>", "[INST]", "[/INST]", "<s>", "</s>"]
TEMPLATES = {
    "chatml": """{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}""",
    "roles that must alternate": """{{ bos_token }}{% for message in messages %}
    {% if message.role == 'user' %}{{ '[INST] ' + message.content | trim + ' [/INST]' }}
    {% elif message.role == 'assistant' %}{{ ' ' + message['content'].strip() + eos_token }}
    {% elif loop.index0 == 0 %}{{ message.content }}
    {% else %}{{ raise_exception('Only user and assistant after the first message!') }}{% endif %}{% endfor %}""",
    "built from pieces": """{%- set ns = namespace(first=true) -%}
{%- for m in messages -%}{{- '<|' + m.role + '|>\n' + (m.content | tojson if ns.first else m.content) -}}<|end|>
{%- set ns.first = false -%}{%- endfor -%}{%- generation -%}<|assistant|>{%- endgeneration -%}""",
    "with a break": """{% for m in messages %}{% if loop.index0 > 2 %}{% break %}{% endif %}<s>{{ m.content }}
{% if tools is none and documents is none %}</s>{% endif %}{% endfor %}{{ unk_token }}""",
}


def theirs() -> Any:
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = tokenizers.decoders.ByteLevel()
    library.train_from_iterator([TEXT], tokenizers.trainers.BpeTrainer(
        vocab_size=340, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    ))  # fmt: skip
    return transformers.PreTrainedTokenizerFast(tokenizer_object=library, bos_token="<s>", eos_token="</s>")


THEIRS = theirs()
OURS = HuggingFaceTokenizer(THEIRS.backend_tokenizer.to_str())
NAMES = special_names({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": None}, OURS)

plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(
    lambda text: not any(name in text for name in SPECIAL)  # which theirs would take for the marks themselves
)
fragments = st.lists(
    st.sampled_from(
        [*SPECIAL, "<|", "|>", "im_", "end|>", "<|im", "[", "/INST]", "</", "s>", "<", ">", " ", "\n", "hi"]
    ),
    max_size=6,
).map("".join)
alternating = st.integers(1, 4).flatmap(lambda pairs: st.lists(plain, min_size=2 * pairs - 1, max_size=2 * pairs - 1))


def messages_of(texts: list[str]) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


def reference(template: str, messages: Any) -> list[int]:
    return THEIRS.apply_chat_template(
        messages, chat_template=template, add_generation_prompt=True, tokenize=True, return_dict=False
    )


@pytest.mark.parametrize("name", TEMPLATES)
@given(texts=alternating)
def test_the_same_messages_become_the_same_tokens_as_in_transformers(name: str, texts: list[str]):
    messages = messages_of(texts)
    assert Chat(OURS, TEMPLATES[name], NAMES).prompt(messages) == reference(TEMPLATES[name], messages)


@pytest.mark.parametrize("name", TEMPLATES)
@given(texts=st.lists(fragments, min_size=3, max_size=3))
def test_what_a_message_spells_never_becomes_a_special_token(name: str, texts: list[str]):
    chat = Chat(OURS, TEMPLATES[name], NAMES)
    special = set(OURS.special_tokens.values())
    ids = chat.prompt(messages_of(texts))
    harmless = chat.prompt(messages_of(["x"] * 3))
    assert [id for id in ids if id in special] == [id for id in harmless if id in special]
    rendered = THEIRS.apply_chat_template(
        messages_of(texts), chat_template=TEMPLATES[name], add_generation_prompt=True, tokenize=False
    )
    assert OURS.decode(ids) == rendered


@pytest.mark.parametrize("text", ["hi", "a", " > quoted", "im_end", "1 <", "end|>", "<|end|>"])
def test_half_a_special_token_is_text_too_and_harmless_text_is_encoded_as_ever(text: str):
    messages = messages_of([text])
    ids = Chat(OURS, TEMPLATES["chatml"], NAMES).prompt(messages)
    if text not in SPECIAL:
        assert ids == reference(TEMPLATES["chatml"], messages)
    assert ids.count(OURS.special_tokens["<|end|>"]) == 0


def test_a_name_speaks_in_no_other_role_either():
    template = "{% for m in messages %}<|{{ m.name }}|>{{ m.content }}{% endfor %}"
    messages = [{"role": "user", "content": "hi", "name": "im_end"}]
    ids = Chat(OURS, template, {}).prompt(messages)
    assert OURS.decode(ids) == "<|im_end|>hi"
    assert not set(ids) & set(OURS.special_tokens.values())


def test_noncharacters_in_a_message_stay_in_it():
    text = "\ufdd0<|im_end|>\ufdd1"
    assert text in OURS.decode(Chat(OURS, TEMPLATES["chatml"], NAMES).prompt(messages_of([text])))
    everything = "".join(map(chr, range(0xFDD0, 0xFDF0)))
    with pytest.raises(BadInput, match="noncharacter"):
        Chat(OURS, TEMPLATES["chatml"], NAMES).prompt(messages_of([everything]))


def test_a_special_token_of_one_character_is_refused_in_messages():
    tokenizer = train(TEXT, 300, special_tokens=("☃",))
    chat = Chat(tokenizer, "{% for m in messages %}☃{{ m.content }}{% endfor %}", {})
    assert chat.prompt(messages_of(["hi"]))[0] == tokenizer.special_tokens["☃"]
    with pytest.raises(BadInput, match="☃"):
        chat.prompt(messages_of(["a ☃ b"]))


def test_a_template_that_refuses_or_fails_says_so():
    with pytest.raises(BadInput, match="Only user and assistant"):
        Chat(OURS, TEMPLATES["roles that must alternate"], NAMES).prompt(
            [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]
        )
    for failing in ("{{ messages[9].content }}", "{{ 1 / 0 }}", "{{ messages + 1 }}", "{{ nothing.there }}"):
        with pytest.raises(BadInput, match="template"):
            Chat(OURS, failing, {}).prompt(messages_of(["a"]))


@pytest.mark.parametrize("template", ["{% for", "{{ messages", "{% generation %}", "{% include 'x' %}{% extends %}"])
def test_a_template_that_is_no_jinja_is_refused_when_the_model_is_loaded(template: str):
    with pytest.raises(BadInput, match="isn't Jinja"):
        Chat(OURS, template, {})


@pytest.mark.parametrize(
    "escape",
    [
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% set _ = messages.append(1) %}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ ''.format.__self__ }}{{ '{0.__class__}'.format(messages) }}",
        "{{ range(999999999) | list }}",
    ],
)
def test_a_template_reaches_nothing_beyond_its_messages(escape: str):
    try:
        ids = Chat(OURS, escape, {}).prompt(messages_of(["a"]))
    except BadInput:
        return
    assert "class" not in OURS.decode(ids)


def test_the_time_is_the_one_thing_that_a_template_may_ask():
    template = "{{ strftime_now('%Y') }}"
    assert Chat(OURS, template, {}).prompt(messages_of(["a"])) == reference(template, messages_of(["a"]))


def test_without_a_template_messages_are_written_down_plainly():
    tokenizer: Tokenizer = train(TEXT, 300, special_tokens=("<|endoftext|>",))
    chat = Chat(tokenizer, None, special_names({}, tokenizer))
    assert not chat.has_template
    assert chat.stop == ("\n\nUser:",)
    messages = [{"role": "system", "content": "Be brief."}, *messages_of(["One?", "1 <|endoftext|>", "Two?"])]
    ids = chat.prompt(messages)
    assert tokenizer.decode(ids) == (
        "System:\nBe brief.\n\nUser:\nOne?\n\nAssistant:\n1 <|endoftext|>\n\nUser:\nTwo?\n\nAssistant:\n"
    )
    assert tokenizer.special_tokens["<|endoftext|>"] not in ids
    tokenizer.beginning = (7,)
    assert chat.prompt(messages) == [7, *ids]


def test_a_template_may_name_the_tokens_that_part_texts():
    assert NAMES == {"bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = train(TEXT, 300, special_tokens=("<|endoftext|>", "<|user|>"))
    assert special_names({}, tokenizer) == {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
