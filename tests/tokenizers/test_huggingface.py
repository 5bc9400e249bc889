"""Any tokenizer.json behind our interface, against the library itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hard_texts import CORPUS, texts
from hypothesis import given
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from glassbox.errors import BadInput
from glassbox.tokenizers import huggingface, load
from glassbox.tokenizers.bytepair import BytePairTokenizer
from glassbox.tokenizers.huggingface import HuggingFaceTokenizer

SPECIAL = ["[UNK]", "[CLS]", "[SEP]"]


def word_pieces() -> Tokenizer:
    """As BERT's: lower case, marks taken off, `##` inside words, `[CLS]` and `[SEP]` around a text."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=8)
    return tokenizer


def unigram() -> Tokenizer:
    """As T5's: pieces with probabilities, "▁" for a space."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_fallback() -> Tokenizer:
    """As Llama 2's: characters, and bytes for those that it doesn't know."""
    vocabulary = {"<unk>": 0, "</s>": 1, **{f"<0x{byte:02X}>": 2 + byte for byte in range(256)}, "▁": 258, "a": 259}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<unk>", "</s>"])
    return tokenizer


def llama3() -> Tokenizer:
    """As Llama 3's: byte level with its own splitting, and tokens taken whole."""
    tokenizer = Tokenizer.from_str(BytePairTokenizer([(64, 65)]).to_tokenizer_json())
    content = json.loads(tokenizer.to_str())
    content["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    return tokenizer


KINDS = {"word pieces": word_pieces, "unigram": unigram, "byte fallback": byte_fallback, "llama 3": llama3}


@pytest.fixture(scope="session", params=list(KINDS))
def content(request: pytest.FixtureRequest) -> str:
    return KINDS[request.param]().to_str()


@given(text=texts())
def test_ids_and_text_are_those_of_the_library(content: str, text: str) -> None:
    ours = HuggingFaceTokenizer(content)
    library = Tokenizer.from_str(content)
    library.no_truncation()
    library.no_padding()
    library.encode_special_tokens = True
    ids = ours.encode(text)
    assert ids == library.encode(text, add_special_tokens=False).ids
    assert ours.encode_batch([text, ""])[0] == ids
    assert ours.decode(ids) == library.decode(ids, skip_special_tokens=False)


@given(text=texts())
def test_our_own_file_gives_the_ids_and_bytes_that_we_give(bytepair: BytePairTokenizer, text: str) -> None:
    theirs = HuggingFaceTokenizer(bytepair.to_tokenizer_json())
    assert theirs.vocabulary_size == bytepair.vocabulary_size
    assert theirs.special_tokens == bytepair.special_tokens
    assert theirs.end_of_text == bytepair.end_of_text
    for allow_special in (False, True):
        ids = bytepair.encode(text, allow_special=allow_special)
        assert theirs.encode(text, allow_special=allow_special) == ids
        assert theirs.decode_bytes(ids) == bytepair.decode_bytes(ids)
        assert [theirs.token_bytes(token) for token in ids] == [bytepair.token_bytes(token) for token in ids]


def test_special_tokens_are_found_only_if_allowed() -> None:
    ours = HuggingFaceTokenizer(word_pieces().to_str())
    assert ours.special_tokens == {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}
    assert ours.end_of_text == 2
    assert not {1, 2} & set(ours.encode("the dog [SEP] fox"))
    assert 2 in ours.encode("the dog [SEP] fox", allow_special=True)
    assert ours.encode("the dog", allow_special=True) == ours.encode("the dog")
    assert ours.token_bytes(2) == b"[SEP]"


def test_an_added_token_that_isnt_special_is_part_of_the_vocabulary() -> None:
    ours = HuggingFaceTokenizer(llama3().to_str())
    think = ours.vocabulary_size - 1
    assert ours.encode("a<think>") == [64, think]
    assert ours.token_bytes(think) == b"<think>"
    assert "<think>" not in ours.special_tokens


def test_bytes_that_stand_in_for_unknown_characters_come_back() -> None:
    ours = HuggingFaceTokenizer(byte_fallback().to_str())
    ids = ours.encode("a ü")
    assert b"".join(map(ours.token_bytes, ids)) == "a ü".encode()
    assert ours.decode_bytes(ids) == "a ü".encode()
    assert ours.end_of_text == 1


def test_a_vocabulary_without_a_known_end_has_none_and_gaps_count() -> None:
    library = Tokenizer(models.WordLevel({"a": 0, "b": 9}, unk_token="a"))
    ours = HuggingFaceTokenizer(library.to_str())
    assert ours.end_of_text is None
    assert ours.vocabulary_size == 10
    with pytest.raises(BadInput, match="id 5 isn't in"):
        ours.decode([5])
    with pytest.raises(BadInput, match="id 5 isn't in"):
        ours.token_bytes(5)


def test_a_saved_tokenizer_comes_back(content: str, tmp_path: Path) -> None:
    HuggingFaceTokenizer(content).save(tmp_path)
    loaded = load(tmp_path)
    assert isinstance(loaded, HuggingFaceTokenizer)
    assert (tmp_path / "tokenizer.json").read_text(encoding="utf-8") == content
    assert loaded.encode("the dog") == HuggingFaceTokenizer(content).encode("the dog")


def test_text_that_the_tokenizer_has_no_id_for_is_bad_input() -> None:
    ours = HuggingFaceTokenizer(Tokenizer(models.WordLevel({"a": 0}, unk_token="[UNK]")).to_str())
    with pytest.raises(BadInput, match=r"can't encode the text: .*UNK"):
        ours.encode("b")
    with pytest.raises(BadInput, match="half of a surrogate pair"):
        ours.encode("\ud83d")


def test_ctrl_c_is_not_taken_for_a_damaged_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> Tokenizer:
        raise KeyboardInterrupt

    monkeypatch.setattr(huggingface, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        HuggingFaceTokenizer("{}")


HOSTILE: dict[str, Any] = {
    "nothing": {},
    "no vocabulary": {"model": {"type": "BPE"}},
    "unknown model": {"model": {"type": "Magic", "vocab": {}}},
    "empty vocabulary": {"model": {"type": "BPE", "vocab": {}, "merges": []}},
    "merges of nothing": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["x", "y"]]}},
    "negative id": {"model": {"type": "WordLevel", "vocab": {"a": -1}, "unk_token": "a"}},
    "huge id": {"model": {"type": "WordLevel", "vocab": {"a": 4_000_000_000}, "unk_token": "a"}},
    "broken pattern": {
        "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": False},
    },
    "added token without content": {
        "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
        "added_tokens": [{"id": 1}],
    },
}


@pytest.mark.parametrize("damage", HOSTILE.values(), ids=HOSTILE)
def test_a_damaged_or_hostile_file_is_bad_input(tmp_path: Path, damage: dict[str, Any]) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", **damage}))
    with pytest.raises(BadInput, match=r"tokenizer\.json"):
        load(tmp_path)


def sentence_pieces() -> Tokenizer:
    """As Llama 2's: words begin with a mark, which is a space but at the beginning of a text; bytes for the rest."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    every_byte = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer.train_from_iterator(["the cat sat on the mat, the cat "] * 9, trainers.BpeTrainer(
        vocab_size=330, special_tokens=["</s>", *every_byte], show_progress=False,
    ))  # fmt: skip
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = content["added_tokens"][:1]  # bytes are tokens of the vocabulary
    return Tokenizer.from_str(json.dumps(content))


@given(before=texts().filter(bool), after=texts())
def test_what_tokens_add_to_a_text_one_by_one_is_what_they_add_together(before: str, after: str) -> None:
    ours = HuggingFaceTokenizer(sentence_pieces().to_str())
    first, then = ours.encode("the " + before), ours.encode(after)
    added = b"".join(map(ours.continuing_bytes, then))
    assert (ours.decode(first).encode() + added).decode(errors="replace") == ours.decode([*first, *then])


def test_a_word_in_the_middle_of_a_text_brings_its_space_and_byte_level_tokens_are_as_they_are() -> None:
    ours = HuggingFaceTokenizer(sentence_pieces().to_str())
    ids = ours.encode("the cat")
    assert b"".join(map(ours.continuing_bytes, ids)) == b" the cat"
    assert ours.continuing_bytes(0) == b"</s>"
    byte_level = HuggingFaceTokenizer(llama3().to_str())
    for token in range(byte_level.vocabulary_size):
        assert byte_level.continuing_bytes(token) == byte_level.token_bytes(token)
    with pytest.raises(BadInput, match="isn't in this tokenizer"):
        ours.continuing_bytes(10_000)
