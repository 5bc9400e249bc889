"""What isn't a person's to see isn't there for them."""

from __future__ import annotations

import pytest
from access_examples import artifact_of, run_of, seen_by
from people import People

from glassbox.workshop.problems import Forbidden, NotFound


def test_a_member_sees_their_own_runs_an_educator_and_an_owner_see_all(people: People):
    mine, theirs = run_of(people, "member"), run_of(people, "other member")
    made_here = people.workshop.workspace.runs.create("evaluate", name="here", settings={}, inputs={})
    assert {entry.id for entry in seen_by(people, "member").runs()} == {mine.id}
    for name in ("educator", "owner"):
        assert {entry.id for entry in seen_by(people, name).runs()} == {mine.id, theirs.id, made_here.id}


def test_another_persons_run_is_answered_like_one_that_does_not_exist(people: People):
    theirs = run_of(people, "other member")
    seen = seen_by(people, "member")
    with pytest.raises(NotFound) as hidden:
        seen.run(theirs.id)
    with pytest.raises(NotFound) as missing:
        seen.run("evaluate-aaaaaa")
    assert hidden.value.detail == missing.value.detail.replace("evaluate-aaaaaa", theirs.id)


def test_an_educator_looks_at_everything_and_changes_only_their_own(people: People):
    theirs = run_of(people, "member")
    educator = seen_by(people, "educator")
    assert educator.run(theirs.id).id == theirs.id
    with pytest.raises(Forbidden):
        educator.own_run(theirs.id)
    assert seen_by(people, "owner").own_run(theirs.id).id == theirs.id


def test_an_artifact_belongs_to_whom_the_run_belongs_that_made_it(people: People):
    artifact = artifact_of(people, "member")
    assert seen_by(people, "member").get("corpus", "example").id == artifact.id
    with pytest.raises(NotFound):
        seen_by(people, "other member").get("corpus", "example")
    with pytest.raises(NotFound):
        seen_by(people, "other member").by_id(artifact.id)
    with pytest.raises(Forbidden):
        seen_by(people, "educator").own_artifact("corpus", "example")


def test_the_newest_version_is_the_newest_that_a_person_sees(people: People):
    mine = artifact_of(people, "member")
    theirs = artifact_of(people, "other member")
    assert theirs.manifest.version == mine.manifest.version + 1
    assert seen_by(people, "member").get("corpus", "example").id == mine.id
    newest = seen_by(people, "member").newest("corpus")
    assert newest is not None
    assert newest.id == mine.id
    with pytest.raises(NotFound):
        seen_by(people, "member").get("corpus", f"example:{theirs.manifest.version}")


def test_what_is_shared_with_everyone_is_seen_and_stays_its_owners(people: People):
    run, artifact = run_of(people), artifact_of(people)
    mine, others = seen_by(people, "member"), seen_by(people, "other member")
    mine.share("run", run.id)
    mine.share("run", run.id)
    mine.share("artifact", artifact.id)
    assert [entry.id for entry in others.runs()] == [run.id]
    assert others.by_id(artifact.id).id == artifact.id
    with pytest.raises(Forbidden):
        others.own_run(run.id)
    with pytest.raises(Forbidden):
        others.check_may_share("artifact", artifact.id)
    mine.unshare("run", run.id)
    mine.unshare("artifact", artifact.id)
    assert others.runs() == []
    with pytest.raises(NotFound):
        others.by_id(artifact.id)


def test_what_is_gone_is_nobodys_and_shown_to_nobody(people: People):
    run = run_of(people)
    mine = seen_by(people, "member")
    mine.share("run", run.id)
    mine.forget("run", run.id)
    assert mine.owner_of("run", run.id) is None
    assert not mine.is_shared("run", run.id)


@pytest.mark.parametrize("run_id", ["", ".", "..", "../runs", "a/b", "a\\b", "a\x00b", "A", "é", "x" * 5000, "-a"])
def test_no_text_leads_out_of_the_folder_of_runs(people: People, run_id: str):
    run_of(people)
    with pytest.raises(NotFound):
        seen_by(people, "owner").run(run_id)
