"""`glassbox tokenizer`, as a person and as a script meet it."""

from __future__ import annotations

from pathlib import Path

import pytest

from glassbox.data.corpus import CorpusWriter
from glassbox.data.documents import Document
from glassbox.tokenizers.bytepair_trainers import train
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.workspace import Workspace

CORPUS = ["the other day they gathered there", "the weather then"] * 5
PRICES = """
[tokens.sketch]
currency = "EUR"
input = 2
output = 10
date = 2026-01-31
source = "an example"
"""


@pytest.fixture(autouse=True)
def tokenizers(workspace: Workspace) -> None:
    for name, tokenizer in (("pairs", train(CORPUS, 280)), ("letters", CharacterTokenizer("adeghorty "))):
        with workspace.artifacts.draft("tokenizer", name) as draft:
            tokenizer.save(draft.folder)


@pytest.fixture
def corpus(workspace: Workspace) -> str:
    with workspace.artifacts.draft("corpus", "tales") as draft, CorpusWriter(draft.folder) as writer:
        for place, text in enumerate(CORPUS):
            writer.append(Document(text, f"en/{place % 2}/tale.txt"))
    return "tales"


def test_inspect_shows_ids_bytes_and_places(glassbox):
    shown = glassbox("tokenizer", "inspect", "letters", "the day")
    assert shown.code == 0, shown.err
    assert "tokens: 7, characters: 7, bytes: 7" in shown.out
    assert ["·", "0", "20", "3–4"] in [line.split() for line in shown.out.splitlines()]


def test_inspect_shows_merge_by_merge_how_a_word_becomes_tokens(glassbox):
    shown = glassbox("tokenizer", "inspect", "pairs", "the", "--merges")
    steps = [line.split() for line in shown.out.splitlines() if line.split()[:1] == ["1"]]
    assert steps[0][1:4] == ["t", "h", "e"]
    found = glassbox("tokenizer", "inspect", "pairs", "the", "--json").json
    assert found["pieces"][0]["merges"][0]["parts"] == ["74", "68", "65"]
    assert "no merges to show" in glassbox("tokenizer", "inspect", "letters", "the", "--merges").out


def test_special_tokens_are_found_only_when_allowed(glassbox):
    text = "the<|endoftext|>"
    assert len(glassbox("tokenizer", "inspect", "pairs", text, "--json").json["tokens"]) > 2
    found = glassbox("tokenizer", "inspect", "pairs", text, "--special", "--json").json
    assert [token["special"] for token in found["tokens"]][-1] is True


def test_statistics_measure_a_corpus_by_source(glassbox, corpus: str):
    shown = glassbox("tokenizer", "statistics", "pairs", corpus)
    assert shown.code == 0, shown.err
    for word in ("all", "en/0", "en/1", "bytes per token", "never used", "bytes of a token"):
        assert word in shown.out
    found = glassbox("tokenizer", "statistics", "pairs", "--by", "first-part", "--json").json
    assert list(found["by_source"]) == ["en"]
    assert found["all"]["documents"] == len(CORPUS)
    assert found["all"]["bytes"] == sum(map(len, CORPUS))


def test_statistics_measure_files(glassbox, tmp_path: Path):
    file = tmp_path / "text.txt"
    file.write_text("the zebra")
    found = glassbox("tokenizer", "statistics", "letters", "--file", str(file), "--json").json
    assert found["all"]["unknown"] == 2  # z and b


def test_compare_lays_tokenizers_side_by_side(glassbox):
    shown = glassbox("tokenizer", "compare", "pairs", "letters", "--text", "the other zebra")
    assert shown.code == 0, shown.err
    assert "isn't among" in shown.out
    found = glassbox("tokenizer", "compare", "pairs", "letters", "--text", "the other", "--json").json
    assert len(found["tokenizers"]["letters"]["tokens"]) == 9
    assert len(found["tokenizers"]["pairs"]["tokens"]) < 9


def test_cost_needs_prices_that_a_person_entered(glassbox, workspace: Workspace):
    shown = glassbox("tokenizer", "cost", "letters", "--text", "the day")
    assert shown.code == 2
    file = workspace.folder / "prices.toml"
    assert str(file) in shown.err
    file.write_text(PRICES)
    shown = glassbox("tokenizer", "cost", "letters", "--text", "the day", "--output-tokens", "100", "--repeats", "1000")
    assert shown.code == 0, shown.err
    assert ["sketch", "0.014", "1", "1.014", "EUR", "2026-01-31", "an", "example"] in [
        line.split() for line in shown.out.splitlines()
    ]
    found = glassbox("tokenizer", "cost", "letters", "--text", "the day", "--price", "sketch", "--json").json
    assert float(found["costs"]["sketch"]["total"]) == pytest.approx(7 * 2 / 1e6)


@pytest.mark.parametrize("command", [("inspect", "pairs", "the"), ("compare", "pairs", "letters", "--text", "the")])
@pytest.mark.parametrize("ending", ["svg", "html"])
def test_what_is_shown_can_be_saved(glassbox, tmp_path: Path, command: tuple[str, ...], ending: str):
    file = tmp_path / f"tokens.{ending}"
    assert glassbox("tokenizer", *command, "--save", str(file)).code == 0
    assert file.stat().st_size > 500


def test_a_tokenizer_is_found_by_its_folder_too(glassbox, workspace: Workspace, tmp_path: Path):
    folder = workspace.artifacts.get("tokenizer", "letters").folder
    assert glassbox("tokenizer", "inspect", str(folder), "the").code == 0
    assert "holds no tokenizer" in glassbox("tokenizer", "inspect", str(tmp_path), "the").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("inspect", "pairs"), "none came"),
        (("inspect", "pairs", "the", "--file", "x"), "a text and a file came"),
        (("inspect", "pairs", "--file", "missing.txt"), "missing.txt can't be read"),
        (("inspect", "nobody", "the"), "nobody"),
        (("inspect", "letters", "xyz"), "'x'"),
        (("statistics", "pairs"), "no corpus"),
        (("statistics", "pairs", "--by", "size"), "first-part"),
        (("statistics", "pairs", "tales", "--file", "x"), "one of the two"),
        (("compare", "letters", "--text", ""), "empty"),
        (("cost", "letters", "--text", "the", "--price", "x"), "prices"),
    ],
)
def test_what_cannot_be_done_ends_with_two_sentences(glassbox, arguments: tuple[str, ...], said: str):
    shown = glassbox("tokenizer", *arguments)
    assert shown.code == 2
    assert shown.out == ""
    assert said in " ".join(shown.err.split())


def test_a_file_that_is_no_text_is_refused(glassbox, tmp_path: Path):
    file = tmp_path / "picture.bin"
    file.write_bytes(b"ab\xff\xfe")
    assert "byte 2 is 0xff" in glassbox("tokenizer", "inspect", "pairs", "--file", str(file)).err
