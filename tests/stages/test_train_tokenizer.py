"""The stage train-tokenizer: from a corpus to a tokenizer."""

from __future__ import annotations

from typing import Any

import pytest

from glassbox.data.corpus import CorpusWriter
from glassbox.data.documents import Document
from glassbox.errors import BadInput
from glassbox.stages import train_tokenizer
from glassbox.stages.execution import Outcome, execute
from glassbox.stages.stopping import StopRequest
from glassbox.tokenizers import load
from glassbox.tokenizers.bytepair import BytePairTokenizer
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.tokenizers.splitting import GPT2, GPT4
from glassbox.workspace import Artifact, Workspace

TALE = "Once upon a time there was a king, and the king had a daughter. "


def corpus_of(workspace: Workspace, **splits: list[str]) -> Artifact:
    draft = workspace.artifacts.draft("corpus", "tales")
    with draft:
        for split, texts in splits.items():
            with CorpusWriter(draft.folder, split) as writer:
                for text in texts:
                    writer.append(Document(text, "book"))
    return draft.artifact


def trained(workspace: Workspace, corpus: Artifact, stop: StopRequest | None = None, **settings: Any) -> Outcome:
    chosen = train_tokenizer.Settings(**settings)
    return execute(train_tokenizer.STAGE, chosen, workspace, {"corpus": corpus}, stop=stop)


def logged(outcome: Outcome) -> str:
    return str([event for event in outcome.run.events if event.kind == "log"])


@pytest.mark.parametrize("trainer", ["python", "huggingface", "rustbpe"])
@pytest.mark.parametrize("pattern", ["gpt2", "gpt4"])
def test_byte_pairs_are_learned_from_the_train_split(workspace: Workspace, trainer: str, pattern: str) -> None:
    corpus = corpus_of(workspace, train=[TALE, TALE[:30]], validation=["zzzz zzzz zzzz"])
    outcome = trained(workspace, corpus, vocabulary_size=270, trainer=trainer, pattern=pattern)
    tokenizer = load(outcome.outputs["tokenizer"].folder)
    expected = train([TALE, TALE[:30]], 270, pattern={"gpt2": GPT2, "gpt4": GPT4}[pattern], trainer=trainer)
    assert isinstance(tokenizer, BytePairTokenizer)
    assert tokenizer.merges == expected.merges
    assert tokenizer.pattern is expected.pattern
    assert outcome.result == {
        "kind": "bytepair",
        "vocabulary_size": 270,
        "ran_out_of_merges": False,
        "special_tokens": {"<|endoftext|>": 269},
        "bytes_per_token": 14 / len(tokenizer.encode("zzzz zzzz zzzz")),
    }
    made = outcome.outputs["tokenizer"]
    assert made.reference == "tales:1"
    assert made.manifest.facts["vocabulary_size"] == 270
    assert made.manifest.facts["bytes_per_token"] == outcome.result["bytes_per_token"]


def test_a_corpus_that_is_not_split_is_taken_whole_and_nothing_is_measured(workspace: Workspace) -> None:
    outcome = trained(workspace, corpus_of(workspace, documents=[TALE, TALE]), vocabulary_size=280)
    tokenizer = load(outcome.outputs["tokenizer"].folder)
    assert isinstance(tokenizer, BytePairTokenizer)
    assert tokenizer.merges == train([TALE, TALE], 280).merges
    assert outcome.result["bytes_per_token"] is None
    assert "bytes_per_token" not in outcome.outputs["tokenizer"].manifest.facts


def test_characters_are_taken_from_every_split(workspace: Workspace) -> None:
    corpus = corpus_of(workspace, train=["abba"], validation=["cäc"], test=["d"])
    outcome = trained(workspace, corpus, kind="characters")
    tokenizer = load(outcome.outputs["tokenizer"].folder)
    assert isinstance(tokenizer, CharacterTokenizer)
    assert tokenizer.characters == "abcdä"
    assert outcome.result["special_tokens"] == {"<|bos|>": 5}
    assert outcome.result["bytes_per_token"] == 4 / 3
    assert outcome.result["ran_out_of_merges"] is False


def test_special_tokens_can_be_chosen_and_left_out(workspace: Workspace) -> None:
    corpus = corpus_of(workspace, train=[TALE])
    outcome = trained(workspace, corpus, vocabulary_size=270, special_tokens=("<|end|>", "<|user|>"))
    tokenizer = load(outcome.outputs["tokenizer"].folder)
    assert (dict(tokenizer.special_tokens), tokenizer.end_of_text) == ({"<|end|>": 268, "<|user|>": 269}, 268)
    outcome = trained(workspace, corpus, kind="characters", special_tokens=())
    assert load(outcome.outputs["tokenizer"].folder).end_of_text is None


def test_text_that_runs_out_of_merges_says_so(workspace: Workspace) -> None:
    outcome = trained(workspace, corpus_of(workspace, train=["abab"]), vocabulary_size=1000)
    assert outcome.result["ran_out_of_merges"] is True
    assert outcome.result["vocabulary_size"] == 256 + 2 + 1
    assert "ran out of pairs to merge: the vocabulary has 259 ids, not 1,000" in logged(outcome)


@pytest.mark.parametrize("kind", ["bytepair", "characters"])
def test_an_empty_corpus_is_bad_input_and_makes_nothing(workspace: Workspace, kind: str) -> None:
    with pytest.raises(BadInput, match="corpus is empty"):
        trained(workspace, corpus_of(workspace, train=[]), kind=kind)
    assert workspace.artifacts.newest("tokenizer") is None


def test_a_vocabulary_without_room_for_the_special_tokens_is_bad_input(workspace: Workspace) -> None:
    with pytest.raises(BadInput, match="258 to 1,000,000"):
        trained(workspace, corpus_of(workspace, train=[TALE]), vocabulary_size=257, special_tokens=("<|a|>", "<|b|>"))


@pytest.mark.parametrize("kind", ["bytepair", "characters"])
def test_stopping_makes_nothing(workspace: Workspace, kind: str) -> None:
    stop = StopRequest()
    stop.make()
    outcome = trained(workspace, corpus_of(workspace, train=[TALE]), stop=stop, kind=kind)
    assert outcome.outputs == {}
    assert workspace.artifacts.newest("tokenizer") is None
