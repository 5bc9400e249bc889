"""Artifacts that several machines share: each machine is a workspace of its own, the store a bucket of an S3 server."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import s3fs
from typer.testing import CliRunner

from glassbox.cli.artifacts import commands
from glassbox.errors import BadInput
from glassbox.workspace import Artifact, Workspace
from glassbox.workspace.remote_artifacts import URL_VARIABLE, RemoteArtifacts, away_mark

Machine = Callable[[str], Workspace]


@pytest.fixture(scope="module")
def s3() -> Iterator[None]:
    """A server that speaks S3, on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    setting = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in setting.items():
            patch.setenv(name, value)
        yield
    server.stop()


@pytest.fixture
def machine(s3: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine by its name; all of them share one store."""
    bucket = f"bucket-{os.urandom(4).hex()}"
    s3fs.S3FileSystem().mkdir(bucket)
    monkeypatch.setenv(URL_VARIABLE, f"s3://{bucket}/glassbox")
    monkeypatch.setattr("glassbox.workspace.remote_artifacts._LOOK_EVERY", 0.0)
    return lambda name: Workspace(tmp_path / name)


def publish(
    workspace: Workspace, text: str = "one two", name: str = "words", parents: tuple[Artifact, ...] = ()
) -> Artifact:
    with workspace.artifacts.draft("corpus", name, parents=parents) as draft:
        (draft.folder / "part").mkdir()
        (draft.folder / "part" / "text.txt").write_text(text)
        (draft.folder / "empty.txt").touch()
        draft.describe(words=len(text.split()))
    return draft.artifact


def test_what_one_machine_publishes_another_reads(machine: Machine):
    made = publish(machine("here"))
    there = machine("there").artifacts.get("corpus", "words")
    assert there.manifest == made.manifest
    assert (there.folder / "part" / "text.txt").read_text() == "one two"
    assert there.problems() == []


def test_files_come_when_someone_opens_them_and_not_before(machine: Machine):
    publish(machine("here"))
    there = machine("there")
    entry = there.artifacts.list()[0]
    artifact = Artifact.read(entry.folder)
    assert (entry.reference, artifact.facts) == ("words:1", {"words": 2})
    assert there.artifacts.lineage(artifact).artifact == artifact
    assert away_mark(artifact.place).exists()
    assert not (artifact.place / "empty.txt").exists()
    assert (artifact.folder / "empty.txt").exists()
    assert not away_mark(artifact.place).exists()


def test_two_machines_that_publish_at_once_get_two_versions(machine: Machine):
    machines = [machine(f"machine {number}") for number in range(4)]
    made: list[Artifact] = []
    threads = [threading.Thread(target=lambda one=one: made.append(publish(one, one.folder.name))) for one in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(artifact.reference for artifact in made) == ["words:1", "words:2", "words:3", "words:4"]
    reader = machine("reader").artifacts
    for artifact in made:
        found = reader.get("corpus", artifact.reference)
        assert found.id == artifact.id
        assert (found.folder / "part" / "text.txt").read_text() == (artifact.folder / "part" / "text.txt").read_text()


def test_what_is_deleted_is_gone_everywhere_and_its_number_is_not_given_again(machine: Machine):
    here, there = machine("here"), machine("there")
    publish(here)
    assert there.artifacts.get("corpus", "words").folder.is_dir()
    here.delete_artifact("corpus", "words:1")
    assert there.artifacts.list() == []
    with pytest.raises(BadInput, match="no corpus called words"):
        there.artifacts.get("corpus", "words")
    assert publish(there).reference == "words:2"
    assert machine("third").artifacts.get("corpus", "words").reference == "words:2"


def test_lineage_reaches_over_machines(machine: Machine):
    parent = publish(machine("here"))
    there = machine("there")
    child = publish(there, name="child", parents=(there.artifacts.get("corpus", "words"),))
    third = machine("third").artifacts
    assert third.lineage(third.get("corpus", "child")).parents[0].artifact == Artifact(
        third.folder / "corpus" / "words" / "1", parent.manifest
    )
    assert child.manifest.parents == (parent.link,)


def test_other_bytes_than_were_published_are_refused(machine: Machine):
    made = publish(machine("here"))
    there = machine("there")
    store = RemoteArtifacts.chosen(there.artifacts.folder, there.artifacts._unfinished)
    assert store is not None
    store._files.pipe_file(f"{store._root}/files/{made.id}/part/text.txt", b"two two")
    artifact = there.artifacts.get("corpus", "words")
    with pytest.raises(BadInput, match="other content"):
        _ = artifact.folder
    assert away_mark(artifact.place).exists()
    assert not (artifact.place / "part").exists()


def test_what_only_this_machine_has_can_be_shared_later(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    url = os.environ[URL_VARIABLE]
    monkeypatch.delenv(URL_VARIABLE)
    made = publish(machine("here"))
    with pytest.raises(BadInput, match="no shared store"):
        machine("here").artifacts.share(made.place)
    monkeypatch.setenv(URL_VARIABLE, url)
    assert machine("there").artifacts.list() == []
    here = machine("here").artifacts
    assert here.share(made.place)
    assert not here.share(made.place)
    assert machine("there").artifacts.get("corpus", "words").id == made.id


def test_a_number_that_another_machine_has_taken_cannot_be_shared(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    url = os.environ[URL_VARIABLE]
    monkeypatch.delenv(URL_VARIABLE)
    mine = publish(machine("here"))
    monkeypatch.setenv(URL_VARIABLE, url)
    theirs = publish(machine("there"))
    with pytest.raises(BadInput, match="Another machine"):
        machine("here").artifacts.share(mine.place)
    assert machine("third").artifacts.get("corpus", "words").id == theirs.id


def test_a_store_that_cannot_be_reached_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv(URL_VARIABLE, "s3://nowhere/glassbox")
    with pytest.raises(BadInput, match="cannot be reached"):
        Workspace(tmp_path / "here").artifacts.list()


@pytest.mark.parametrize("url", ["nonsense://bucket", "://", "s3:///", "bucket"])
def test_an_address_that_is_none_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str):
    monkeypatch.setenv(URL_VARIABLE, url)
    with pytest.raises(BadInput, match="no address that artifacts can be shared at"):
        Workspace(tmp_path / "here")


def test_one_command_shares_all_that_only_this_machine_has(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    url = os.environ[URL_VARIABLE]
    monkeypatch.delenv(URL_VARIABLE)
    here = machine("here")
    publish(here, name="child", parents=(publish(here),))
    monkeypatch.setenv(URL_VARIABLE, url)
    for shared in (["corpus words:1", "corpus child:1"], []):
        done = CliRunner().invoke(commands, ["share", "--json", "--workspace", str(here.folder)])
        assert json.loads(done.stdout) == {"shared": shared}
    assert len(machine("there").artifacts.list()) == 2
