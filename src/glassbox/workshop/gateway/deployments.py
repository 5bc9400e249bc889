"""Which models are served, under which names, in which versions: the database's part of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal, cast

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from glassbox.workshop.accounts.secrets import new_id
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import DeploymentRow, DeploymentVersionRow, OwnerRow, ShareRow
from glassbox.workshop.gateway.target import Engine, Target
from glassbox.workshop.problems import Conflict, NotFound
from glassbox.workshop.visible import Visible
from glassbox.workspace import Artifact

KIND = "deployment"
MOST = 100  # in a workshop
_LONGEST_PROBLEM = 1000

Wanted = Literal["running", "stopped"]


@dataclass(frozen=True)
class Version:
    """One model that a deployment served, or was to serve. card: what it said of itself, as JSON."""

    number: int
    model: str
    artifact: str
    created: float
    by: str
    problem: str | None
    card: str | None


@dataclass(frozen=True)
class Setup:
    """How a deployment's process runs; see `Target`."""

    engine: Engine
    rows: int
    threads: int | None
    memory: int | None
    unload_after: int | None


@dataclass(frozen=True)
class Deployment:
    """A model under a public name. versions: newest first; `version` is the number of the one that answers."""

    id: str
    name: str
    wanted: Wanted
    version: int
    setup: Setup
    created: float
    changed: float
    versions: tuple[Version, ...]

    @property
    def current(self) -> Version:
        return self.at(self.version)

    def at(self, number: int) -> Version:
        """Raises NotFound for a version that there never was."""
        for version in self.versions:
            if version.number == number:
                return version
        raise NotFound("version", str(number), f"{self.name} has 1 to {len(self.versions)}.")

    def target(self, number: int | None = None) -> Target:
        """What a process is to be started for."""
        version = self.current if number is None else self.at(number)
        setup = self.setup
        return Target(
            deployment=self.id,
            version=version.number,
            name=self.name,
            engine=setup.engine,
            model=version.model,
            rows=setup.rows,
            threads=setup.threads,
            memory=setup.memory,
            unload_after=setup.unload_after,
        )


class Deployments:
    """Adds, finds and changes them. Whom they are shown to is decided by `Visible`, which is asked here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, user: str, name: str, model: Artifact, setup: Setup) -> Deployment:
        """A new one, which belongs to the user. Raises Conflict if the name is taken."""
        now, identity = time.time(), new_id()
        row = DeploymentRow(
            id=identity,
            name=name,
            engine=setup.engine,
            wanted="running",
            version=1,
            rows=setup.rows,
            threads=setup.threads,
            memory=setup.memory,
            unload_after=setup.unload_after,
            created=now,
            changed=now,
        )
        with self._database.writing() as session:
            if session.scalar(select(DeploymentRow.id).where(DeploymentRow.name == name)) is not None:
                raise Conflict(f"The name {name} is taken by another deployment.", "Choose another name.")
            if (session.scalar(select(func.count()).select_from(DeploymentRow)) or 0) >= MOST:
                raise Conflict(f"{MOST} models are deployed, which is as many as may.", "Delete one first.")
            session.add(row)
            session.flush()  # versions refer to it
            session.add(_version_row(identity, 1, model, user, now))
            session.add(OwnerRow(kind=KIND, id=identity, user=user))
        return self.get(identity)

    def get(self, identity: str) -> Deployment:
        """By its id. Raises NotFound."""
        with self._database.reading() as session:
            row = session.get(DeploymentRow, identity)
            if row is None:
                raise NotFound(KIND, identity)
            return _told(session, [row])[0]

    def named(self, name: str, seen: Visible) -> Deployment:
        """By its name, if that person sees it. Raises NotFound."""
        with self._database.reading() as session:
            row = session.scalar(select(DeploymentRow).where(DeploymentRow.name == name))
            found = None if row is None else _told(session, [row])[0]
        if found is None or not seen.sees(KIND, found.id):
            raise NotFound(KIND, name)
        return found

    def asked_for(self, name: str, seen: Visible) -> tuple[str, Wanted]:
        """Only the id, and whether it shall be running: what each request needs. Raises NotFound as `named` does."""
        query = select(DeploymentRow.id, DeploymentRow.wanted).where(DeploymentRow.name == name)
        with self._database.reading() as session:
            found = session.execute(query).one_or_none()
        if found is None or not seen.sees(KIND, found.id):
            raise NotFound(KIND, name)
        return found.id, cast("Wanted", found.wanted)

    def own(self, name: str, seen: Visible) -> Deployment:
        """By its name, if that person may change it. Raises NotFound, and Forbidden if they only see it."""
        found = self.named(name, seen)
        seen.check_own(KIND, found.id)
        return found

    def all(self) -> list[Deployment]:
        """Every one, by name."""
        with self._database.reading() as session:
            return _told(session, list(session.scalars(select(DeploymentRow).order_by(DeploymentRow.name))))

    def seen_by(self, seen: Visible) -> list[Deployment]:
        """Those that a person sees, by name."""
        return [one for one in self.all() if seen.sees(KIND, one.id)]

    def add_version(self, identity: str, model: Artifact, user: str) -> Deployment:
        """Note another model, which doesn't answer yet: see `switch`."""
        with self._database.writing() as session:
            newest = session.scalar(
                select(func.max(DeploymentVersionRow.number)).where(DeploymentVersionRow.deployment == identity)
            )
            if newest is None:
                raise NotFound(KIND, identity)
            session.add(_version_row(identity, newest + 1, model, user, time.time()))
        return self.get(identity)

    def switch(self, identity: str, number: int, card: str | None) -> None:
        """From now on this version answers. Nothing if the deployment is gone."""
        with self._database.writing() as session:
            row = session.get(DeploymentRow, identity)
            version = session.get(DeploymentVersionRow, (identity, number))
            if row is None or version is None:
                return
            if row.version != number:
                row.version, row.changed = number, time.time()
            version.problem = None
            version.card = version.card if card is None else card

    def refuse(self, identity: str, number: int, problem: str) -> None:
        """This version did not come to answer."""
        with self._database.writing() as session:
            version = session.get(DeploymentVersionRow, (identity, number))
            if version is not None:
                version.problem = problem[:_LONGEST_PROBLEM]

    def want(self, identity: str, wanted: Wanted) -> Deployment:
        """Let it be running, or stopped."""
        with self._database.writing() as session:
            row = session.get(DeploymentRow, identity)
            if row is None:
                raise NotFound(KIND, identity)
            if row.wanted != wanted:
                row.wanted, row.changed = wanted, time.time()
        return self.get(identity)

    def delete(self, identity: str) -> None:
        """It is gone, with its versions, its owner and whom it was shown to. What was used of it stays on record."""
        with self._database.writing() as session:
            for table in (OwnerRow, ShareRow):
                session.execute(delete(table).where(table.kind == KIND, table.id == identity))
            session.execute(delete(DeploymentVersionRow).where(DeploymentVersionRow.deployment == identity))
            session.execute(delete(DeploymentRow).where(DeploymentRow.id == identity))

    def shared(self) -> set[str]:
        """The ids of those that everyone sees."""
        with self._database.reading() as session:
            return set(session.scalars(select(ShareRow.id).where(ShareRow.kind == KIND)))

    def artifacts(self) -> set[str]:
        """The ids of all models that some deployment has a version of."""
        with self._database.reading() as session:
            return set(session.scalars(select(DeploymentVersionRow.artifact)))


def _version_row(deployment: str, number: int, model: Artifact, user: str, now: float) -> DeploymentVersionRow:
    return DeploymentVersionRow(
        deployment=deployment, number=number, model=model.reference, artifact=model.id, created=now, by=user
    )


def _told(session: Session, rows: list[DeploymentRow]) -> list[Deployment]:
    query = select(DeploymentVersionRow).where(DeploymentVersionRow.deployment.in_([row.id for row in rows]))
    versions: dict[str, list[Version]] = {}
    for row in session.scalars(query.order_by(DeploymentVersionRow.number.desc())):
        version = Version(row.number, row.model, row.artifact, row.created, row.by, row.problem, row.card)
        versions.setdefault(row.deployment, []).append(version)
    return [
        Deployment(
            id=row.id,
            name=row.name,
            wanted=cast("Wanted", row.wanted),
            version=row.version,
            setup=Setup(cast("Engine", row.engine), row.rows, row.threads, row.memory, row.unload_after),
            created=row.created,
            changed=row.changed,
            versions=tuple(versions.get(row.id, ())),
        )
        for row in rows
    ]
