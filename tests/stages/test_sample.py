"""The stage sample: a model of the workspace writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from glassbox.engines.tensors import Transformer, save_model
from glassbox.errors import BadInput
from glassbox.spec import ModelSpec
from glassbox.stages import sample
from glassbox.stages.execution import Outcome, execute
from glassbox.stages.stopping import StopRequest
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.workspace import Artifact, Workspace

SPEC = ModelSpec(vocabulary_size=17, context=24, width=16, layers=2, heads=4, initial_std=0.5)


def published(workspace: Workspace, characters: str = "abcdefghijklmnop", *, whole: bool = True) -> Artifact:
    with workspace.artifacts.draft("model", "letters") as draft:
        save_model(Transformer(SPEC, 3), draft.folder)
        if whole:
            (draft.folder / "tokenizer").mkdir()
            CharacterTokenizer(characters).save(draft.folder / "tokenizer")
    return draft.artifact


@pytest.fixture
def model(tmp_path: Path) -> tuple[Workspace, Artifact]:
    workspace = Workspace(tmp_path / "workspace")
    return workspace, published(workspace)


def written(model: tuple[Workspace, Artifact], *, stop: StopRequest | None = None, **settings: Any) -> Outcome:
    workspace, artifact = model
    return execute(sample.STAGE, sample.Settings.model_validate(settings), workspace, {"model": artifact}, stop=stop)


def samples_of(outcome: Outcome) -> list[dict[str, Any]]:
    return json.loads(json.dumps(outcome.result))["samples"]


def test_each_prompt_is_continued_as_often_as_asked_and_told(model: tuple[Workspace, Artifact]) -> None:
    outcome = written(model, prompt=["ab", "c"], samples=3, max_tokens=5)
    answers = samples_of(outcome)
    assert [answer["prompt"] for answer in answers] == ["ab"] * 3 + ["c"] * 3
    assert all(len(answer["text"]) == 5 or answer["finish"] == "end" for answer in answers)
    texts = [event.fields["content"] for event in outcome.run.events if event.kind == "text"]
    assert texts == [answer["prompt"] + answer["text"] for answer in answers]


def test_the_same_seed_gives_the_same_texts_however_many_are_written_at_once(
    model: tuple[Workspace, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = samples_of(written(model, samples=5, max_tokens=6, seed=4))
    monkeypatch.setattr(sample, "AT_ONCE", 2)
    assert samples_of(written(model, samples=5, max_tokens=6, seed=4)) == together
    assert samples_of(written(model, samples=5, max_tokens=6, seed=5)) != together


def test_log_probabilities_and_alternatives_are_told_on_request(model: tuple[Workspace, Artifact]) -> None:
    (answer,) = samples_of(written(model, prompt=["ab"], max_tokens=4, temperature=0, alternatives=2))
    assert "".join(told["text"] for told in answer["tokens"]) == answer["text"]
    for told in answer["tokens"]:
        likeliest, second = told["alternatives"]
        assert told["id"] == likeliest["id"]
        assert told["log_probability"] == pytest.approx(likeliest["log_probability"])
        assert likeliest["log_probability"] >= second["log_probability"]


def test_beams_find_the_likeliest_answers_and_show_their_tree(model: tuple[Workspace, Artifact]) -> None:
    first, second = samples_of(written(model, prompt=["ab"], max_tokens=5, beams=4, samples=2, alternatives=0))
    assert first["score"] >= second["score"]
    assert first["tree"][0]["depth"] == 1
    with pytest.raises(BadInput, match="3 samples were asked of 2 beams"):
        written(model, beams=2, samples=3)


def test_who_asks_to_stop_gets_no_more(model: tuple[Workspace, Artifact]) -> None:
    request = StopRequest()
    request.make()
    assert samples_of(written(model, samples=3, max_tokens=20, stop=request)) == []


def test_a_model_without_its_own_tokenizer_is_bad_input(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    with pytest.raises(BadInput, match="no tokenizer beside it"):
        written((workspace, published(workspace, whole=False)))
    with pytest.raises(BadInput, match="knows 17 ids, and the tokenizer in its folder makes 21"):
        written((workspace, published(workspace, "abcdefghijklmnopqrst")))


def test_a_prompt_that_the_model_cannot_read_is_bad_input(model: tuple[Workspace, Artifact]) -> None:
    with pytest.raises(BadInput, match="'Z'"):
        written(model, prompt=["aZ"])
    with pytest.raises(BadInput, match="leaves no room"):
        written(model, prompt=["ab" * 12])
    assert samples_of(written(model, prompt=["ab" * 12], max_tokens=3, at_limit="slide"))
