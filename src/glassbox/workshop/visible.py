"""What a person may see: every object is read through here, and what isn't theirs to see isn't there for them.

- an owner sees and changes everything; an educator sees everything, and changes their own;
- a member sees their own and what is shared with everyone, and changes their own.

A run belongs to whom started it, an artifact to whom the run belongs that made it. What was made on the command line
belongs to the owners.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Literal

from sqlalchemy import BindParameter, bindparam, delete, select, union_all

from glassbox.errors import BadInput
from glassbox.workshop.accounts.actor import Actor
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import OwnerRow, ShareRow
from glassbox.workshop.problems import Forbidden, NotFound
from glassbox.workspace import Artifact, Run, Workspace
from glassbox.workspace.artifact_index import ArtifactEntry
from glassbox.workspace.artifacts import Lineage
from glassbox.workspace.manifest import ArtifactLink
from glassbox.workspace.names import KINDS, Kind, Reference
from glassbox.workspace.run_index import RunEntry

OwnedKind = Literal["run", "spec", "upload", "deployment"]
SharedKind = Literal["run", "spec", "upload", "deployment", "artifact"]
ShareableKind = Literal["run", "artifact"]
_NAMED_AT_MOST = 100  # ids in one question; of more, all are asked for
_KIND: BindParameter[str] = bindparam("kind")
_ID: BindParameter[str] = bindparam("id")
_USER: BindParameter[str] = bindparam("user")
_OWNERS = select(OwnerRow.id, OwnerRow.user).where(OwnerRow.kind == _KIND)
_OWNERS_OF = _OWNERS.where(OwnerRow.id.in_(bindparam("ids", expanding=True)))
_OWNER = _OWNERS.where(OwnerRow.id == _ID)
_OWN = select(OwnerRow.id).where(OwnerRow.kind == _KIND, OwnerRow.user == _USER)
_SHARED = select(ShareRow.id).where(ShareRow.kind == _KIND)
_SEEN = union_all(_OWN.where(OwnerRow.id == _ID), _SHARED.where(ShareRow.id == _ID))


class Visible:
    """A workspace as one person sees it."""

    def __init__(self, workspace: Workspace, database: Database, actor: Actor) -> None:
        self.workspace = workspace
        self.actor = actor
        self._database = database

    @property
    def sees_all(self) -> bool:
        return self.actor.is_at_least("educator")

    # Runs

    def runs(self, stage: str | None = None) -> list[RunEntry]:
        """The runs that this person sees, newest first; damaged ones too, for owners."""
        entries = self.workspace.runs.list(stage)
        if self.sees_all:
            return entries
        visible = self._visible_ids("run")
        return [entry for entry in entries if entry.id in visible]

    def run(self, run_id: str) -> Run:
        """One run, by its whole id. Raises NotFound if there is none, or none that this person sees."""
        if not self.sees_all and run_id not in self._visible_ids("run"):
            raise NotFound("run", run_id)
        return self._read_run(run_id)

    def own_run(self, run_id: str) -> Run:
        """One run that this person may change. Raises NotFound, and Forbidden if they only see it."""
        run = self.run(run_id)
        self.check_own("run", run.id)
        return run

    def _read_run(self, run_id: str) -> Run:
        folder = self.workspace.runs.folder_with(run_id)
        if folder is None:
            raise NotFound("run", run_id)
        return Run.read(folder)

    # Artifacts: the same questions as `workspace.Artifacts` answers, for what stages take

    def artifacts(self, kind: Kind | None = None, name: str | None = None) -> list[ArtifactEntry]:
        """The artifacts that this person sees, newest first."""
        return self.artifacts_among(self.workspace.artifacts.list(kind, name))

    def artifacts_among(self, entries: list[ArtifactEntry]) -> list[ArtifactEntry]:
        """Those of them that this person sees."""
        if self.sees_all:
            return entries
        runs, shared = self._ids("run"), self._shared("artifact")
        return [entry for entry in entries if entry.run in runs or (entry.id is not None and entry.id in shared)]

    def get(self, kind: Kind, reference: str) -> Artifact:
        """`name` (its newest version that this person sees) or `name:3`. Raises NotFound."""
        try:
            wanted = Reference.parse(reference)
        except BadInput as error:
            raise NotFound(str(kind), reference) from error
        for entry in sorted(self.artifacts(kind, wanted.name), key=lambda one: -one.version):
            if entry.problem is None and wanted.version in (None, entry.version):
                return Artifact.read(entry.folder)
        raise NotFound(str(kind), reference)

    def by_id(self, artifact_id: str) -> Artifact:
        """One artifact by its id. Raises NotFound."""
        entry = self.workspace.artifacts.by_id(artifact_id)
        if entry is None or not self.artifacts_among([entry]):
            raise NotFound("artifact", artifact_id)
        return Artifact.read(entry.folder)

    def own_artifact(self, kind: Kind, reference: str) -> Artifact:
        """One artifact that this person may change. Raises NotFound, and Forbidden if they only see it."""
        return self._check_own_artifact(self.get(kind, reference))

    def _check_own_artifact(self, artifact: Artifact) -> Artifact:
        if not self.actor.is_at_least("owner") and artifact.manifest.run not in self._ids("run"):
            raise Forbidden("This belongs to someone else.", "Make one of your own from it.")
        return artifact

    def find(self, link: ArtifactLink) -> Artifact | None:
        """What a link points to; None if it is gone, or not theirs to see."""
        for entry in self.artifacts(link.kind, Reference.parse(link.reference).name):
            if entry.id == link.id:
                return Artifact.read(entry.folder)
        return None

    def newest(self, kind: Kind) -> Artifact | None:
        """The artifact of that kind that was made last, of those that this person sees."""
        entry = next((one for one in self.artifacts(kind) if one.problem is None), None)
        return None if entry is None else Artifact.read(entry.folder)

    def lineage(self, artifact: Artifact) -> Lineage:
        """What went into it: whoever sees an artifact may know what it was made from, but not open that."""
        return self.workspace.artifacts.lineage(artifact)

    # Whose it is

    def owner_of(self, kind: OwnedKind, object_id: str) -> str | None:
        """The id of the person whom it belongs to; None for what was made on the command line."""
        return next((row.user for row in self._database.rows(_OWNER, kind=kind, id=object_id)), None)

    def owners_of(self, kind: OwnedKind, ids: Iterable[str]) -> dict[str, str]:
        """The same for many."""
        wanted = set(ids)
        if len(wanted) <= _NAMED_AT_MOST:
            return {row.id: row.user for row in self._database.rows(_OWNERS_OF, kind=kind, ids=list(wanted))}
        return {row.id: row.user for row in self._database.rows(_OWNERS, kind=kind) if row.id in wanted}

    def sees(self, kind: OwnedKind, object_id: str) -> bool:
        """May this person look at it?"""
        if self.sees_all:
            return True
        return bool(self._database.rows(_SEEN, kind=kind, id=object_id, user=self.actor.id))

    def all_seen(self, kind: OwnedKind, ids: Iterable[str]) -> set[str]:
        """Those of them that this person may look at."""
        return set(ids) if self.sees_all else self._visible_ids(kind) & set(ids)

    def check_seen(self, kind: OwnedKind, object_id: str) -> None:
        """Raises NotFound unless this person may look at it."""
        if not self.sees(kind, object_id):
            raise NotFound(kind, object_id)

    def check_own(self, kind: OwnedKind, object_id: str) -> None:
        """Raises NotFound unless this person sees it, Forbidden unless they may change it."""
        self.check_seen(kind, object_id)
        if not self.actor.is_at_least("owner") and self.owner_of(kind, object_id) != self.actor.id:
            raise Forbidden("This belongs to someone else.", "Make one of your own from it.")

    def claim(self, kind: OwnedKind, object_id: str) -> None:
        """From now on it belongs to this person."""
        with self._database.writing() as session:
            session.merge(OwnerRow(kind=kind, id=object_id, user=self.actor.id))

    # Whom it is shown to

    def check_may_share(self, kind: ShareableKind, object_id: str) -> None:
        """Raises NotFound unless this person sees it, Forbidden unless it is theirs."""
        if kind == "run":
            self.own_run(object_id)
        else:
            self._check_own_artifact(self.by_id(object_id))

    def share(self, kind: SharedKind, object_id: str) -> None:
        """Show it to everyone who has an account."""
        with self._database.writing() as session:
            if session.get(ShareRow, (kind, object_id)) is None:
                session.add(ShareRow(kind=kind, id=object_id, created=time.time(), by=self.actor.id))

    def unshare(self, kind: SharedKind, object_id: str) -> None:
        """Show it no more to those whose it isn't."""
        with self._database.writing() as session:
            session.execute(delete(ShareRow).where(ShareRow.kind == kind, ShareRow.id == object_id))

    def is_shared(self, kind: SharedKind, object_id: str) -> bool:
        """Is it shown to everyone who has an account?"""
        with self._database.reading() as session:
            return session.get(ShareRow, (kind, object_id)) is not None

    def forget(self, kind: OwnedKind, object_id: str) -> None:
        """It is gone."""
        with self._database.writing() as session:
            session.execute(delete(OwnerRow).where(OwnerRow.kind == kind, OwnerRow.id == object_id))
            session.execute(delete(ShareRow).where(ShareRow.kind == kind, ShareRow.id == object_id))

    def _visible_ids(self, kind: OwnedKind) -> set[str]:
        return self._ids(kind) | self._shared(kind)

    def _ids(self, kind: OwnedKind) -> set[str]:
        return {row.id for row in self._database.rows(_OWN, kind=kind, user=self.actor.id)}

    def _shared(self, kind: SharedKind) -> set[str]:
        return {row.id for row in self._database.rows(_SHARED, kind=kind)}


def check_kind(kind: str) -> Kind:
    """A kind of artifact. Raises NotFound for another word."""
    for known in KINDS:
        if kind == known:
            return known
    raise NotFound("kind of artifact", kind, f"Use one of: {', '.join(KINDS)}.")
