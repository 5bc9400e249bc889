"""The workspace: one folder that holds every artifact and every run."""

from __future__ import annotations

import os
from pathlib import Path

from glassbox.errors import BadInput
from glassbox.workspace.artifacts import Artifacts
from glassbox.workspace.faults import disk_faults_as_bad_input
from glassbox.workspace.unfinished import UnfinishedFolders

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


class Workspace:
    """Opens the workspace in `folder`, and makes it if it isn't there.

    Any number of processes may have the same workspace open. Raises BadInput if the folder cannot be one.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder if folder is not None else default_folder()).expanduser().absolute()
        with disk_faults_as_bad_input(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.unfinished = UnfinishedFolders(self.folder / "unfinished")
        self.artifacts = Artifacts(self.folder / "artifacts", self.unfinished)
