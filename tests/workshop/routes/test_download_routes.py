"""Fetching what a run wrote: whole or in part, and only by those who see the run."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from access_examples import seen_by
from people import People

from glassbox.workspace import Run


def export_run(people: People, place: Path, name: str = "member") -> Run:
    """A run of a person that was to write there."""
    settings = {"format": "gguf", "to": str(place), "number_format": "kept", "shard_gigabytes": 5.0}
    run = people.workshop.workspace.runs.create("export-model", name="x", settings=settings, inputs={})
    seen_by(people, name).claim("run", run.id)
    return run


@pytest.fixture
def place(own_workspace: Path) -> Path:
    return own_workspace / "downloads" / "0123456789abcdef" / "tales.gguf"


def test_a_file_is_fetched_whole_or_in_part(people: People, place: Path) -> None:
    address = f"/api/runs/{export_run(people, place).id}/download"
    ann = people.client("member")
    before = ann.get(address)
    assert before.status_code == 404
    assert "isn't over yet" in before.json()["remedy"]
    place.parent.mkdir(parents=True)
    place.write_bytes(bytes(range(256)) * 40)
    whole = ann.get(address)
    assert whole.content == place.read_bytes()
    assert whole.headers["Content-Disposition"] == 'attachment; filename="tales.gguf"'
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    part = ann.get(address, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))


def test_a_folder_is_fetched_as_a_zip(people: People, place: Path) -> None:
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    answer = people.client("member").get(f"/api/runs/{export_run(people, place).id}/download")
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="tales.gguf.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["tales.gguf/config.json"]


def test_nobody_fetches_what_was_written_elsewhere_or_by_another_persons_run(
    people: People, place: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    assert people.client("member").get(f"/api/runs/{export_run(people, tmp_path / 'secret').id}/download").is_error
    place.parent.mkdir(parents=True)
    place.write_text("model")
    address = f"/api/runs/{export_run(people, place).id}/download"
    assert people.client("other member").get(address).status_code == 404
    assert people.client(None).get(address).status_code == 401
    assert people.client("educator").get(address).status_code == 200


def test_a_run_that_writes_nothing_has_no_download(people: People) -> None:
    runs = people.workshop.workspace.runs
    for stage, settings in (("collect", {}), ("export-model", {"from": "another version"}), ("no-stage", {})):
        run = runs.create(stage, name="x", settings=settings, inputs={})
        seen_by(people, "member").claim("run", run.id)
        assert people.client("member").get(f"/api/runs/{run.id}/download").status_code == 404
