"""Byte pairs to a tokenizer.json and back; files that say something else are refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hard_texts import CORPUS, texts
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from glassbox.errors import BadInput
from glassbox.tokenizers.byte_alphabet import BYTES_BY_ID, to_symbols
from glassbox.tokenizers.bytepair import BytePairTokenizer
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.splitting import GPT2, GPT4, PATTERNS, SplittingPattern
from glassbox.tokenizers.tokenizer_json import BytePairParts, read, write


def parts(pattern: SplittingPattern = GPT4) -> BytePairParts:
    tokenizer = train(CORPUS, 300, pattern=pattern, special_tokens=("<|endoftext|>", "<|user|>"))
    return BytePairParts(list(tokenizer.merges), pattern, list(tokenizer.special_tokens))


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@given(documents=st.lists(texts(), min_size=1).filter(any), size=st.integers(260, 400))
def test_nothing_is_lost_on_the_way_there_and_back(pattern: SplittingPattern, documents: list[str], size: int) -> None:
    tokenizer = train(documents, size, pattern=pattern)
    given_parts = BytePairParts(list(tokenizer.merges), pattern, ["<|endoftext|>", "<|ünï|>", "two words"])
    through_text = json.loads(json.dumps(write(given_parts)))
    assert read(through_text, "the file") == given_parts


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_nothing_is_lost_when_hugging_faces_library_writes_the_file_again(pattern: SplittingPattern) -> None:
    ours = parts(pattern)
    library = tokenizers.Tokenizer.from_str(json.dumps(write(ours)))
    assert read(json.loads(library.to_str()), "the file") == ours
    assert library.get_vocab_size() == 300
    assert library.token_to_id("<|user|>") == 299


def test_transformers_reads_the_file(bytepair: BytePairTokenizer, tmp_path: Path) -> None:
    bytepair.save(tmp_path)
    library = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    text = "Größe 12345 they'll\n\n👋<|endoftext|>"
    assert library(text)["input_ids"] == bytepair.encode(text, allow_special=True)
    assert library.decode(bytepair.encode(text)) == text


def test_gpt2s_own_file_is_read() -> None:
    """As the hub has it: merges as one string each, no `use_regex`, the special token in the vocabulary too."""
    symbols = [to_symbols(bytes([byte])) for byte in BYTES_BY_ID]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": 258,
                "special": True,
                "content": "<|endoftext|>",
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": True,
            }
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
        "model": {
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "vocab": {symbol: id for id, symbol in enumerate([*symbols, "Ġt", "Ġa", "<|endoftext|>"])},
            "merges": ["Ġ t", "Ġ a"],
        },
    }
    found = read(content, "gpt2")
    assert found == BytePairParts([(220, 83), (220, 64)], GPT2, ["<|endoftext|>"])
    library = tokenizers.Tokenizer.from_str(json.dumps(content))
    ours = BytePairTokenizer(found.merges, found.pattern, found.special_tokens)
    assert library.encode("a tall Ant").ids == ours.encode("a tall Ant")


def changed(path: str, value: Any) -> dict[str, Any]:
    """A good file with one thing in it replaced, `path` being names and places with dots between."""
    content = copy.deepcopy(write(parts()))
    *way, last = path.split(".")
    place: Any = content
    for name in way:
        place = place[int(name) if isinstance(place, list) else name]
    place[int(last) if isinstance(place, list) else last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("model", None, "model isn't BPE"),
        ("model.type", "Unigram", "model isn't BPE"),
        ("model.dropout", 0.1, "sets dropout"),
        ("model.byte_fallback", True, "sets byte_fallback"),
        ("model.ignore_merges", True, "sets ignore_merges"),
        ("model.unk_token", "<unk>", "sets unk_token"),
        ("model.continuing_subword_prefix", "##", "sets continuing_subword_prefix"),
        ("normalizer", {"type": "NFC"}, "has a normalizer"),
        ("truncation", {"max_length": 5}, "has a truncation"),
        ("post_processor", {"type": "TemplateProcessing"}, "post_processor isn't ByteLevel"),
        ("decoder", None, "decoder isn't ByteLevel"),
        ("decoder", "ByteLevel", "decoder isn't ByteLevel"),
        ("pre_tokenizer", None, "neither by the pattern gpt2 nor by gpt4"),
        ("pre_tokenizer.pretokenizers.0.pattern.Regex", r"\w+", "neither by the pattern"),
        ("pre_tokenizer.pretokenizers.1.add_prefix_space", True, "neither by the pattern"),
        ("model.vocab", None, "vocabulary or its list of merges"),
        ("model.vocab", {}, "vocabulary isn't the 256 bytes"),
        ("model.vocab.!", 1, "vocabulary isn't the 256 bytes"),
        ("model.vocab.!", "0", "vocabulary isn't the 256 bytes"),
        ("model.merges", {}, "vocabulary or its list of merges"),
        ("model.merges.3", "abc", "merge 3 isn't a pair"),
        ("model.merges.3", ["a", 5], "merge 3 isn't a pair"),
        ("model.merges.3", ["a", "b", "c"], "merge 3 isn't a pair"),
        ("model.merges.3", ["a", "nothing"], "isn't made by an earlier merge"),
        ("model.merges.3", ["", "a"], "isn't made by an earlier merge"),
        ("added_tokens", {}, "added tokens is damaged"),
        ("added_tokens", "x", "added tokens is damaged"),
        ("added_tokens.0", None, "added tokens is damaged"),
        ("added_tokens.0.content", 3, "added tokens is damaged"),
        ("added_tokens.0.special", False, "isn't a plain special token"),
        ("added_tokens.0.lstrip", True, "isn't a plain special token"),
        ("added_tokens.1.id", 5, "has the id 5, not 299"),
    ],
)
def test_a_file_that_says_something_else_is_refused(path: str, value: Any, problem: str) -> None:
    with pytest.raises(BadInput, match=problem) as raised:
        read(changed(path, value), "some.json")
    assert raised.value.problem.startswith("some.json ")


def test_a_merge_that_makes_a_token_again_is_refused() -> None:
    content = write(parts())
    content["model"]["merges"].append(content["model"]["merges"][0])
    with pytest.raises(BadInput, match="for the second time"):
        read(content, "some.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, st.data())
def test_no_damage_is_anything_but_bad_input(value: Any, data: st.DataObject) -> None:
    content: Any = write(BytePairParts([(0, 1), (256, 2)], GPT2, ["<|a|>"]))
    place = content
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not (isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans())):
            break
        place = place[key]
    place[key] = value
    try:
        assert isinstance(read(content, "some.json"), BytePairParts)
    except BadInput as error:
        assert error.problem.startswith("some.json")
