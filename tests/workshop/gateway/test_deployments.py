"""What the database knows of served models, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from glassbox.workshop.accounts.actor import Actor
from glassbox.workshop.accounts.users import Users
from glassbox.workshop.database import Database
from glassbox.workshop.gateway.deployments import KIND, Deployment, Deployments, Setup
from glassbox.workshop.problems import Conflict, NotFound
from glassbox.workshop.visible import Visible
from glassbox.workspace import Artifact, Workspace

SETUP = Setup("glassbox", rows=4, threads=2, memory=1 << 40, unload_after=None)


@pytest.fixture
def model(database: Database, own_workspace: object) -> Artifact:
    with Workspace(None).artifacts.draft("model", "poet") as draft:
        (draft.folder / "spec.json").write_text("{}")
    return draft.artifact


@pytest.fixture
def ada(database: Database) -> Visible:
    return person(database, "ada")


def person(database: Database, name: str) -> Visible:
    user = Users(database).add(name, "member", None)
    return Visible(Workspace(None), database, Actor(user.id, name, "member"))


def deployed(database: Database, ada: Visible, model: Artifact) -> Deployment:
    return Deployments(database).add(ada.actor.id, "tutor", model, SETUP)


def test_what_was_added_is_found_as_it_was_given(database: Database, ada: Visible, model: Artifact):
    made = deployed(database, ada, model)
    assert Deployments(database).named("tutor", ada) == made
    assert (made.setup, made.version, made.current.model, made.wanted) == (SETUP, 1, "poet:1", "running")
    assert made.target().memory == 1 << 40
    assert Deployments(database).asked_for("tutor", ada) == (made.id, "running")


def test_a_name_is_given_once(database: Database, ada: Visible, model: Artifact):
    deployed(database, ada, model)
    with pytest.raises(Conflict):
        deployed(database, ada, model)
    assert len(Deployments(database).all()) == 1


def test_others_see_it_while_it_is_shared(database: Database, ada: Visible, model: Artifact):
    made, bob, deployments = deployed(database, ada, model), person(database, "bob"), Deployments(database)
    for find in (deployments.named, deployments.asked_for):
        with pytest.raises(NotFound):
            find("tutor", bob)
    ada.share(KIND, made.id)
    assert deployments.named("tutor", bob) == made
    assert deployments.seen_by(bob) == [made]
    assert deployments.shared() == {made.id}
    ada.unshare(KIND, made.id)
    assert deployments.seen_by(bob) == []


def test_a_version_is_noted_before_it_answers_and_answers_when_it_is_switched_to(
    database: Database, ada: Visible, model: Artifact
):
    made, deployments = deployed(database, ada, model), Deployments(database)
    noted = deployments.add_version(made.id, model, ada.actor.id)
    assert (noted.version, [one.number for one in noted.versions]) == (1, [2, 1])
    deployments.refuse(made.id, 2, "no memory " * 1000)
    assert len(deployments.get(made.id).at(2).problem or "") == 1000
    deployments.switch(made.id, 2, '{"context": 64}')
    switched = deployments.get(made.id)
    assert (switched.version, switched.current.problem, switched.current.card) == (2, None, '{"context": 64}')
    with pytest.raises(NotFound):
        switched.at(3)


def test_what_is_deleted_leaves_nothing_and_late_notes_are_lost(database: Database, ada: Visible, model: Artifact):
    made, deployments = deployed(database, ada, model), Deployments(database)
    ada.share(KIND, made.id)
    deployments.delete(made.id)
    assert (deployments.all(), deployments.shared(), deployments.artifacts()) == ([], set(), set())
    assert ada.owner_of(KIND, made.id) is None
    deployments.switch(made.id, 1, None)
    deployments.refuse(made.id, 1, "late")
    for late in (lambda: deployments.want(made.id, "stopped"), lambda: deployments.add_version(made.id, model, "ada")):
        with pytest.raises(NotFound):
            late()
    assert deployed(database, ada, model).version == 1
