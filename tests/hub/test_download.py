"""Models by name. No test goes to the network: what the hub's library says is played."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from published_models import saved

from glassbox.errors import BadInput
from glassbox.hub.download import FETCHED, download
from glassbox.stages.execution import execute
from glassbox.stages.registry import load_stage
from glassbox.workspace import Workspace

library: Any = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
errors: Any = pytest.importorskip("huggingface_hub.errors", reason="huggingface_hub is not installed")
httpx: Any = (
    pytest.importorskip("httpx2", reason="httpx2 is not installed")
    if "httpx2" in sys.modules
    else pytest.importorskip("httpx", reason="httpx is not installed")
)


def played(monkeypatch: pytest.MonkeyPatch, files: Any, snapshot: Any) -> list[tuple[Any, Any]]:
    """Answer with these, or raise them; returns what is asked for."""
    asked: list[tuple[Any, Any]] = []

    def answer(what: Any) -> Any:
        def called(*args: Any, **options: Any) -> Any:
            asked.append((args, options))
            if isinstance(what, Exception):
                raise what
            return what

        return called

    monkeypatch.setattr(library, "list_repo_files", answer(files))
    monkeypatch.setattr(library, "snapshot_download", answer(snapshot))
    return asked


def refused(kind: str) -> Exception:
    return getattr(errors, kind)("no", response=httpx.Response(404, request=httpx.Request("GET", "https://x")))


def test_a_model_is_fetched_by_name_and_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved("qwen2", tmp_path / "snapshot")
    asked = played(monkeypatch, ["config.json", "model.safetensors", "pytorch_model.bin"], str(tmp_path / "snapshot"))
    stage = load_stage("import-model")
    settings = stage.settings.model_validate({"hub_name": "Some/Model-0.5B", "revision": "main"})
    outcome = execute(stage, settings, Workspace(tmp_path / "workspace"), {})
    assert outcome.outputs["model"].name == "model-0.5b"
    assert asked == [(("Some/Model-0.5B",), {"revision": "main", "allow_patterns": FETCHED})]
    assert not any(pattern.endswith((".bin", ".pt", ".py")) or pattern == "*" for pattern in FETCHED)


@pytest.mark.parametrize(
    ("files", "snapshot", "said"),
    [
        (["pytorch_model.bin"], "empty", "as pickle only .'pytorch_model.bin'., which runs whatever"),
        (["README.md"], "empty", "has weights of no kind"),
        (refused("RepositoryNotFoundError"), refused("RepositoryNotFoundError"), "isn't on the hub, or is private"),
        (refused("GatedRepoError"), refused("GatedRepoError"), "asks for its licence"),
        (refused("RevisionNotFoundError"), refused("RevisionNotFoundError"), "has no revision 'x'"),
        ([], errors.LocalEntryNotFoundError("no network.\nat all"), "can't be fetched: no network. Check"),
        ([], httpx.ConnectError("unknown host"), "can't be fetched: unknown host. Check"),
        (httpx.ConnectError("unknown host"), "empty", "can't be fetched: unknown host. Check"),
    ],
)
def test_what_cannot_be_had_is_told(files: Any, snapshot: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    played(monkeypatch, files, snapshot)
    with pytest.raises(BadInput, match=said):
        download("some/model", "x")


@pytest.mark.parametrize("name", ["", "../etc", "a/b/c", "https://huggingface.co/a/b", "a b", "-x", "a/.b", "a" * 200])
def test_what_is_no_name_is_never_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = played(monkeypatch, [], "")
    with pytest.raises(BadInput, match="no name of a model"):
        download(name)
    assert asked == []


def test_without_the_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BadInput, match="pip install huggingface_hub"):
        download("some/model")


@pytest.mark.parametrize("given", [{}, {"path": "x", "hub_name": "y"}, {"path": "x", "revision": "main"}])
def test_a_path_or_a_name_is_needed(given: dict[str, str], tmp_path: Path) -> None:
    stage = load_stage("import-model")
    with pytest.raises(BadInput, match="Give --path or --hub-name"):
        execute(stage, stage.settings.model_validate(given), Workspace(tmp_path / "workspace"), {})
