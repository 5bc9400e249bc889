"""The workspace: one folder that holds every artifact and every run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glassbox.errors import BadInput
from glassbox.workspace.artifact import Artifact
from glassbox.workspace.artifacts import Artifacts
from glassbox.workspace.faults import make_folder
from glassbox.workspace.names import Kind
from glassbox.workspace.remote_artifacts import RemoteArtifacts
from glassbox.workspace.runs import Runs
from glassbox.workspace.states import HELD_BY_A_PROCESS
from glassbox.workspace.unfinished import UnfinishedFolders

if TYPE_CHECKING:
    from glassbox.workspace.artifact_index import ArtifactEntry
    from glassbox.workspace.run_index import RunEntry

FOLDER_VARIABLE = "GLASSBOX_WORKSPACE"


def default_folder() -> Path:
    """`$GLASSBOX_WORKSPACE`, else `~/.glassbox`."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen)
    try:
        return Path.home() / ".glassbox"
    except RuntimeError as error:
        raise BadInput(
            "There is no home folder to keep the workspace in.",
            f"Choose a folder with --workspace or ${FOLDER_VARIABLE}.",
        ) from error


@dataclass(frozen=True)
class Need:
    """artifacts: made from an artifact directly. runs: at work, and reading it."""

    artifacts: tuple[ArtifactEntry, ...]
    runs: tuple[RunEntry, ...]

    def __bool__(self) -> bool:
        return bool(self.artifacts or self.runs)


class Workspace:
    """Opens the workspace in `folder`, and makes it if it isn't there.

    Any number of processes may have the same workspace open. Raises BadInput if the folder cannot be one.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        # The database's library takes longer to import than everything else here; those who only name types don't wait.
        from glassbox.workspace.artifact_index import ArtifactIndex
        from glassbox.workspace.database import Database
        from glassbox.workspace.run_index import RunIndex

        self.folder = Path(folder if folder is not None else default_folder()).expanduser().absolute()
        make_folder(self.folder)
        database = Database(self.folder / "workspace.db")
        unfinished = UnfinishedFolders(self.folder / "unfinished")
        artifacts, runs = self.folder / "artifacts", self.folder / "runs"
        remote = RemoteArtifacts.chosen(artifacts, unfinished)
        self.artifacts = Artifacts(artifacts, unfinished, ArtifactIndex(artifacts, database), remote)
        self.runs = Runs(runs, unfinished, RunIndex(runs, database), database)

    def delete_artifact(self, kind: Kind, reference: str, *, force: bool = False) -> None:
        """Delete one version; its number is never given again.

        Raises BadInput if there is none and, unless forced, if other artifacts were made from it or a run reads it now.
        """
        folder = self.artifacts.folder_of(kind, reference)
        if not force:
            self._refuse_if_needed(folder)
        self.artifacts.remove(folder)

    def needed_by(self, artifact: Artifact) -> Need:
        """What would be left without this artifact."""
        runs = [run for run in self.runs.readers_of(artifact) if run.state in HELD_BY_A_PROCESS]
        return Need(tuple(self.artifacts.children(artifact.id)), tuple(runs))

    def _refuse_if_needed(self, folder: Path) -> None:
        try:
            artifact = Artifact.read(folder)
        except BadInput:
            return  # damaged: nobody can use it
        need = self.needed_by(artifact)
        needed = [f"the {child.kind} {child.reference}" for child in need.artifacts]
        needed += [f"the run {run.id}" for run in need.runs]
        if needed:
            raise BadInput(
                f"The {artifact.kind} {artifact.reference} is needed by {', '.join(needed)}.",
                "Delete those first, or delete it all the same with --force.",
            )
