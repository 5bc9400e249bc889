"""A person's own descriptions of models, by name: `specs/<name>.json` in the workspace.

In a workshop for many people each has a folder of their own, `specs/<person>/<name>.json`. They are notes and no
artifacts: nothing is made from the file itself, so that it may change and be deleted. What a description says is no
business of this floor.
"""

from __future__ import annotations

from pathlib import Path

from glassbox.errors import BadInput
from glassbox.workspace import atomic
from glassbox.workspace.faults import disk_faults_as_bad_input, make_folder
from glassbox.workspace.names import check_name

FOLDER, ENDING = "specs", ".json"


class Descriptions:
    """Of the workspace in this folder. person: whose, by their id; None for whoever sits at the machine."""

    def __init__(self, workspace: Path, person: str | None = None) -> None:
        self.folder = workspace / FOLDER if person is None else workspace / FOLDER / person

    def list(self) -> dict[str, Path]:
        """Name -> file, by name."""
        return {file.stem: file for file in sorted(self.folder.glob(f"*{ENDING}"))}

    def file(self, name: str) -> Path:
        """Where the description of that name lies. Raises BadInput if there is none."""
        file = self.folder / (check_name(name) + ENDING)
        if not file.is_file():
            raise BadInput(f"No description of yours is called {name}.", "See them with: glassbox spec list.")
        return file

    def save(self, name: str, content: str, *, replace: bool = False) -> Path:
        """Keep it under a name, whole or not at all. Raises BadInput for a name that is taken, unless replacing."""
        file = self.folder / (check_name(name) + ENDING)
        if file.exists() and not replace:
            raise BadInput(f"There is a description called {name} already.", "Choose another name, or use --replace.")
        make_folder(self.folder)
        with disk_faults_as_bad_input(self.folder):
            atomic.write_file(file, content.encode())
        return file

    def delete(self, name: str) -> None:
        """Raises BadInput if there is none."""
        with disk_faults_as_bad_input(self.folder):
            self.file(name).unlink()
