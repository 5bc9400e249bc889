"""People's own descriptions of models. Each person has names of their own; what was saved on the command line belongs
to the owners, and to the one person of a workshop on one's own machine.

    specs/<name>.json            id `<name>`            of the command line, and of that one person
    specs/<person>/<name>.json   id `<person>~<name>`   of everyone else
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, presets
from glassbox.workshop.accounts.users import LOCAL_USER
from glassbox.workshop.problems import Conflict, NotFound
from glassbox.workshop.visible import Visible
from glassbox.workspace.descriptions import FOLDER, Descriptions
from glassbox.workspace.names import check_name

MOST = 500
"""Descriptions that a person may keep."""
_PARTS = "~"


@dataclass(frozen=True)
class OwnSpec:
    """person: whose folder it lies in; None for the command line's."""

    id: str
    name: str
    file: Path
    mine: bool

    def load(self) -> ModelSpec:
        """Raises BadInput if the file isn't a description any more."""
        return ModelSpec.load(self.file)


class OwnSpecs:
    """As one person sees them."""

    def __init__(self, seen: Visible) -> None:
        self._seen = seen
        self._workspace = seen.workspace.folder
        self._person = None if seen.actor.id == LOCAL_USER else seen.actor.id

    def list(self) -> list[OwnSpec]:
        """Those that they see, by name, their own first."""
        found = [self._told(None, name, file) for name, file in Descriptions(self._workspace).list().items()]
        for person in self._people():
            files = Descriptions(self._workspace, person).list()
            found += [self._told(person, name, file) for name, file in files.items()]
        visible = self._seen.all_seen("spec", [one.id for one in found])
        return sorted((one for one in found if one.id in visible), key=lambda one: (not one.mine, one.name, one.id))

    def get(self, spec_id: str) -> OwnSpec:
        """Raises NotFound unless there is one that they see."""
        person, _, name = spec_id.rpartition(_PARTS)
        try:
            check_name(name)
            if person:
                check_name(person)
            file = Descriptions(self._workspace, person or None).file(name)
        except BadInput:
            raise NotFound("description", spec_id) from None
        if not self._seen.sees("spec", spec_id):
            raise NotFound("description", spec_id)
        return self._told(person or None, name, file)

    def save(self, name: str, spec: ModelSpec, *, replace: bool) -> OwnSpec:
        """Keep it among this person's own. Raises BadInput for a name that can't be one, Conflict for a taken one."""
        check_name(name)
        if name in presets():
            raise Conflict(f"{name} is the name of a preset.", "Choose another name.")
        own = Descriptions(self._workspace, self._person)
        there = own.list()
        if name in there and not replace:
            raise Conflict(f"You have a description called {name} already.", "Choose another name, or replace it.")
        if name not in there and len(there) >= MOST:
            raise Conflict(f"You have {MOST} descriptions, which is as many as one may keep.", "Delete some first.")
        file = own.save(name, spec.model_dump_json(indent=2) + "\n", replace=True)
        saved = self._told(self._person, name, file)
        self._seen.claim("spec", saved.id)
        return saved

    def delete(self, spec_id: str) -> None:
        """Raises NotFound, and Forbidden for somebody else's."""
        found = self.get(spec_id)
        self._seen.check_own("spec", spec_id)
        found.file.unlink(missing_ok=True)
        self._seen.forget("spec", spec_id)

    def _told(self, person: str | None, name: str, file: Path) -> OwnSpec:
        spec_id = name if person is None else f"{person}{_PARTS}{name}"
        return OwnSpec(spec_id, name, file, mine=person == self._person)

    def _people(self) -> tuple[str, ...]:
        try:
            folders = [entry.name for entry in (self._workspace / FOLDER).iterdir() if entry.is_dir()]
        except OSError:
            return ()
        return tuple(sorted(folders))
