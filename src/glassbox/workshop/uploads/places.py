"""`upload:<id>` and `download:<name>` in a stage's settings: what a person may read and write from elsewhere.

places = ClientPlaces(seen, uploads, downloads)
settings = stage.settings.model_validate(values, context=places)     # raises BadInput for any path
shown = settings.model_dump(mode="json", context=places)             # upload:<id> again
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from glassbox.errors import BadInput
from glassbox.stages.local_paths import DOWNLOAD, UPLOAD, Access, Places
from glassbox.workshop.uploads import downloads
from glassbox.workshop.uploads.uploads import Uploads
from glassbox.workshop.visible import Visible
from glassbox.workspace.names import check_name, shown

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


class ClientPlaces(Places):
    """The places of one person."""

    def __init__(self, seen: Visible, uploads: Uploads) -> None:
        self._seen = seen
        self._uploads = uploads
        self._downloads = seen.workspace.folder / downloads.FOLDER

    def to_read(self, upload: str) -> Path:
        """Raises BadInput for an upload that isn't there, isn't theirs to see, or isn't whole yet."""
        if not _ID.fullmatch(upload) or not self._seen.sees("upload", upload):
            raise BadInput(f"There is no upload called {shown(upload)}.", "See what there is in the list of uploads.")
        return self._uploads.path(upload)

    def to_write(self, name: str) -> Path:
        """A place of its own for each; the name is kept, and is the download's name later. Raises BadInput."""
        downloads.sweep(self._downloads)
        return self._downloads / secrets.token_hex(16) / check_name(name)

    def reference(self, path: Path, access: Access) -> str:
        folder = self._uploads.received.folder if access == "read" else self._downloads
        if path.parent.parent == folder:
            return f"{UPLOAD}{path.parent.name}" if access == "read" else f"{DOWNLOAD}{path.name}"
        return path.name
