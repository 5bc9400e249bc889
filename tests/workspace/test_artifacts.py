"""Artifacts are published whole or not at all, never change, and are found again."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.workspace import Artifact, Workspace
from glassbox.workspace.manifest import FileEntry, hash_of


def leftovers(workspace: Workspace) -> list[Path]:
    return list((workspace.folder / "unfinished").glob("*"))


def test_a_published_artifact_is_found_by_its_name_and_by_its_version(workspace, publish):
    first, second = publish("corpus", "plays", "one"), publish("corpus", "plays", "two")
    assert workspace.artifacts.get("corpus", "plays") == second
    assert workspace.artifacts.get("corpus", "plays:1") == first
    assert (first.reference, second.reference) == ("plays:1", "plays:2")
    assert (first.folder / "text.txt").read_text() == "one"


def test_kinds_have_names_of_their_own(workspace, publish):
    corpus, model = publish("corpus", "plays"), publish("model", "plays")
    assert corpus.reference == model.reference == "plays:1"
    assert workspace.artifacts.get("model", "plays").id == model.id


def test_the_manifest_keeps_facts_files_parents_and_run(workspace, publish):
    parent = publish("corpus", "plays")
    with workspace.artifacts.draft("tokenizer", "plays", parents=[parent], run="train-tokenizer-abc") as draft:
        (draft.folder / "deep" / "er").mkdir(parents=True)
        (draft.folder / "deep" / "er" / "ü.txt").write_bytes(b"x" * 10)
        draft.describe(vocabulary_size=512, merges=["a b"])
        draft.describe(merges=[])
    read = Artifact.read(draft.artifact.folder)
    assert read == draft.artifact
    assert read.facts == {"vocabulary_size": 512, "merges": []}
    assert read.manifest.files.keys() == {"deep/er/ü.txt"}
    assert read.manifest.bytes == 10
    assert [link.id for link in read.manifest.parents] == [parent.id]
    assert read.manifest.run == "train-tokenizer-abc"


def test_an_exception_discards_the_draft(workspace):
    with pytest.raises(ZeroDivisionError), workspace.artifacts.draft("corpus", "plays") as draft:
        (draft.folder / "text.txt").write_text("half")
        raise ZeroDivisionError
    assert workspace.artifacts.list() == []
    assert leftovers(workspace) == []
    with pytest.raises(RuntimeError):
        _ = draft.artifact


@pytest.mark.parametrize("spoil", [lambda folder: None, lambda folder: (folder / "manifest.json").write_text("{}")])
def test_an_empty_draft_and_one_with_a_manifest_are_refused(workspace, spoil):
    with pytest.raises(ValueError), workspace.artifacts.draft("corpus", "plays") as draft:
        spoil(draft.folder)
    assert workspace.artifacts.list() == []


def test_a_link_cannot_be_published_since_its_target_may_change(workspace, tmp_path):
    with pytest.raises(ValueError, match="plain files"), workspace.artifacts.draft("corpus", "plays") as draft:
        (draft.folder / "link").symlink_to(tmp_path)
    assert workspace.artifacts.list() == []


@pytest.mark.parametrize("fact", [float("nan"), {1, 2}, b"bytes"])
def test_facts_that_json_cannot_hold_are_refused(workspace, fact):
    with pytest.raises((TypeError, ValueError)), workspace.artifacts.draft("corpus", "plays") as draft:
        draft.describe(fact=fact)


def test_a_draft_has_no_folder_outside_its_block(workspace):
    with pytest.raises(RuntimeError):
        _ = workspace.artifacts.draft("corpus", "plays").folder


def test_a_deleted_version_is_never_given_again(workspace, publish):
    publish("corpus", "plays")
    publish("corpus", "plays")
    workspace.delete_artifact("corpus", "plays:2")
    assert publish("corpus", "plays").reference == "plays:3"
    with pytest.raises(BadInput, match="no version 2"):
        workspace.artifacts.get("corpus", "plays:2")
    assert leftovers(workspace) == []


def test_deleting_what_others_were_made_from_needs_force_and_says_who(workspace, publish):
    corpus = publish("corpus", "plays")
    publish("tokenizer", "plays", parents=(corpus,))
    publish("shards", "plays", parents=(corpus,))
    with pytest.raises(BadInput) as caught:
        workspace.delete_artifact("corpus", "plays")
    assert "the tokenizer plays:1" in caught.value.problem
    assert "the shards plays:1" in caught.value.problem
    assert corpus.folder.exists()
    workspace.delete_artifact("corpus", "plays", force=True)
    assert not corpus.folder.exists()


def test_deleting_what_a_run_reads_now_needs_force(workspace, publish):
    corpus = publish("corpus", "plays")
    run = workspace.runs.create("split", name="plays", settings={}, inputs={"corpus": corpus})
    attempt = workspace.runs.begin(run)
    with pytest.raises(BadInput, match=run.id):
        workspace.delete_artifact("corpus", "plays")
    attempt.end("cancelled")
    workspace.delete_artifact("corpus", "plays")
    assert workspace.artifacts.list() == []


def test_lineage_reaches_the_first_text_and_names_what_was_deleted(workspace, publish):
    corpus = publish("corpus", "plays")
    tokenizer = publish("tokenizer", "plays", parents=(corpus,))
    shards = publish("shards", "plays", parents=(corpus, tokenizer))
    workspace.delete_artifact("corpus", "plays", force=True)
    lineage = workspace.artifacts.lineage(shards)
    assert [str(parent.link) for parent in lineage.parents] == ["corpus plays:1", "tokenizer plays:1"]
    assert lineage.parents[0].artifact is None
    assert lineage.parents[1].parents[0].link.id == corpus.id
    assert [child.reference for child in workspace.artifacts.children(tokenizer.id)] == ["plays:1"]


def test_verification_finds_every_change(workspace, publish):
    artifact = publish("corpus", "plays", "text")
    assert artifact.problems() == []
    (artifact.folder / "text.txt").write_text("tent")
    (artifact.folder / "more.txt").write_text("")
    assert artifact.problems() == [
        "more.txt is not in the manifest",
        "text.txt has other content than when it was published",
    ]
    (artifact.folder / "text.txt").write_text("longer")
    assert "text.txt has 6 bytes instead of 4" in artifact.problems()
    (artifact.folder / "text.txt").unlink()
    assert "text.txt is missing" in artifact.problems()


entries = st.builds(FileEntry, bytes=st.integers(0, 100), sha256=st.text("0123456789abcdef", min_size=64, max_size=64))


@given(
    st.dictionaries(st.text(max_size=5), entries, max_size=4), st.dictionaries(st.text(max_size=5), entries, max_size=4)
)
def test_the_hash_depends_on_paths_and_content_and_on_nothing_else(one, other):
    assert hash_of(one) == hash_of(dict(reversed(one.items())))
    assert (hash_of(one) == hash_of(other)) == (one == other)


def test_two_processes_that_publish_at_once_never_share_a_version(workspace, start_python):
    code = "for number in range(12): publish('corpus', 'plays', sys.argv[1] + str(number) + str(os.getpid()))"
    processes = [start_python(code) for _ in range(2)]
    for process in processes:
        assert process.wait(60) == 0, process.stderr.read()
    listed = workspace.artifacts.list("corpus")
    assert sorted(entry.version for entry in listed) == list(range(1, 25))
    assert len({(entry.folder / "text.txt").read_text() for entry in listed}) == 24
    assert all(Artifact.read(entry.folder).problems() == [] for entry in listed)


KILL_AT = """
calls = 0
def die_at(function):
    def wrapper(*arguments, **keywords):
        global calls
        calls += 1
        if calls == {call}:
            os.kill(os.getpid(), 9)
        return function(*arguments, **keywords)
    return wrapper
for name in ("write", "fsync", "rename", "replace", "mkdir", "open"):
    setattr(os, name, die_at(getattr(os, name)))
publish("corpus", "plays", "two")
print(calls)
"""


def test_a_kill_at_any_step_of_publishing_leaves_a_whole_artifact_or_none(workspace, publish, start_python):
    publish("corpus", "plays", "one")
    rehearsal = start_python(KILL_AT.format(call=-1))
    steps = int(rehearsal.communicate(timeout=60)[0])
    assert steps > 8
    for call in range(1, steps + 1, 2):
        process = start_python(KILL_AT.format(call=call))
        assert process.wait(60) == -signal.SIGKILL
        listed = workspace.artifacts.list("corpus")
        assert [entry.version for entry in reversed(listed)] == list(range(1, len(listed) + 1))
        assert all(Artifact.read(entry.folder).problems() == [] for entry in listed)
    publish("corpus", "plays", "three")
    assert leftovers(workspace) == []  # the next process sweeps what the killed ones left


def test_a_full_disk_publishes_nothing_and_says_so(workspace, publish, monkeypatch):
    publish("corpus", "plays")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(BadInput, match="is full"):
        publish("corpus", "plays", "two")
    monkeypatch.undo()
    assert [entry.reference for entry in workspace.artifacts.list()] == ["plays:1"]
    assert leftovers(workspace) == []


FULL = """
import resource
from glassbox.errors import BadInput
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    publish("corpus", "plays", "x" * 2000)
except OSError as error:
    print("stage", error.errno)
try:
    with workspace.artifacts.draft("corpus", "plays") as draft:
        (draft.folder / "small").write_text("fits")
        draft.describe(long="x" * 2000)
except BadInput as error:
    print("manifest", error.problem)
"""


def test_a_disk_that_takes_no_more_bytes_leaves_nothing_half_written(workspace, start_python):
    out, _ = start_python(FULL).communicate(timeout=60)
    assert "stage 27" in out
    assert "is full" in out
    assert workspace.artifacts.list() == []
    assert leftovers(workspace) == []


def test_a_damaged_manifest_is_listed_as_damaged_and_refused(workspace, publish):
    good, bad = publish("corpus", "good"), publish("corpus", "bad")
    whole = (bad.folder / "manifest.json").read_text()
    for damage in (
        "",
        "{",
        "[]",
        "\0" * 10,
        whole.replace('"format": 1', '"format": 99'),
        whole.replace(bad.id, "../x"),
    ):
        (bad.folder / "manifest.json").write_text(damage)
        with pytest.raises(BadInput, match=r"manifest\.json is damaged"):
            workspace.artifacts.get("corpus", "bad")
        (workspace.folder / "workspace.db").unlink(missing_ok=True)
        found = {entry.reference: entry.problem for entry in Workspace(workspace.folder).artifacts.list()}
        assert found["good:1"] is None
        assert "damaged" in (found["bad:1"] or "")
    (bad.folder / "manifest.json").unlink()
    with pytest.raises(BadInput, match=r"no manifest\.json"):
        workspace.artifacts.get("corpus", "bad")
    assert Workspace(workspace.folder).artifacts.newest("corpus") == good
    workspace.delete_artifact("corpus", "bad")
    assert [entry.reference for entry in Workspace(workspace.folder).artifacts.list()] == ["good:1"]


def test_a_folder_copied_under_another_name_is_seen_as_damaged(workspace, publish):
    artifact = publish("corpus", "plays")
    shutil.copytree(artifact.folder, artifact.folder.parent.parent / "poems" / "1")
    problems = {entry.reference: entry.problem for entry in workspace.artifacts.list()}
    assert problems["plays:1"] is None
    assert "plays:1" in problems["poems:1"]


def test_a_repaired_manifest_is_listed_again(workspace, publish):
    artifact = publish("corpus", "plays")
    path = artifact.folder / "manifest.json"
    whole = json.loads(path.read_text())
    path.write_text("{")
    assert workspace.artifacts.list()[0].reference == "plays:1"
    (workspace.folder / "workspace.db").unlink()
    fresh = Workspace(workspace.folder)
    assert fresh.artifacts.list()[0].problem
    path.write_text(json.dumps(whole))
    assert fresh.artifacts.list()[0].problem is None


def test_folders_that_are_no_versions_are_passed_over(workspace, publish):
    artifact = publish("corpus", "plays")
    for name in ("0", "01", "tmp", "-1", "²"):
        (artifact.folder.parent / name).mkdir()
    (artifact.folder.parent / "7").write_text("a file is no version")
    (workspace.folder / "artifacts" / "unknown-kind" / "x" / "1").mkdir(parents=True)
    assert [entry.reference for entry in workspace.artifacts.list()] == ["plays:1"]


def test_a_link_to_another_artifact_in_the_same_place_finds_nothing(workspace, publish):
    artifact = publish("corpus", "plays")
    assert workspace.artifacts.find(artifact.link) == artifact
    assert workspace.artifacts.find(artifact.link.model_copy(update={"id": "0" * 16})) is None
    assert workspace.artifacts.find(artifact.link.model_copy(update={"reference": "plays:9"})) is None


def test_everything_that_came_of_an_artifact_is_found_once(workspace, publish):
    """plays -> (shards, tokenizer); both -> model: a graph that parts and meets again."""
    plays = publish("corpus", "plays")
    tokenizer = publish("tokenizer", "plays", parents=[plays])
    shards = publish("shards", "plays", parents=[plays, tokenizer])
    model = publish("model", "plays", parents=[shards, tokenizer])
    publish("model", "other")
    descendants = workspace.artifacts.descendants(plays.id)
    found = [one.entry.id for one in descendants]
    assert set(descendants[-1].parents) == {shards.id, tokenizer.id}
    assert sorted(found) == sorted([tokenizer.id, shards.id, model.id])
    assert found[-1] == model.id
    assert workspace.artifacts.descendants(model.id) == []


def test_an_artifact_is_found_by_its_id_wherever_it_came_from(workspace, publish):
    plays = publish("corpus", "plays")
    assert workspace.artifacts.by_id(plays.id).reference == "plays:1"
    folder = workspace.artifacts.folder / "corpus" / "plays"
    shutil.copytree(folder, folder.with_name("copied"))
    manifest = (folder.with_name("copied") / "1" / "manifest.json").read_text()
    copied = manifest.replace(plays.id, "0" * 16).replace('"name": "plays"', '"name": "copied"')
    (folder.with_name("copied") / "1" / "manifest.json").write_text(copied)
    assert workspace.artifacts.by_id("0" * 16).reference == "copied:1"
    shutil.rmtree(folder)
    assert workspace.artifacts.by_id(plays.id) is None
    assert workspace.artifacts.by_id("no such") is None
