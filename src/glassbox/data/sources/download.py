"""A file at an address on the web, fetched once into a folder and kept there under a name that tells what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from glassbox.data.fetching import INTERNET, Outside, fetch
from glassbox.data.sources.file_kinds import FIRST_BYTES, file_name
from glassbox.errors import BadInput
from glassbox.workspace.names import shown

LARGEST = 2 * 2**30  # bytes
SECONDS = 3600.0
_PART = ".part"  # a file's name never begins with a dot
_PAGES = ("text/html", "application/xhtml+xml")


def downloaded(
    url: str, folder: Path, progress: Callable[[int, int | None], None], *, outside: Outside = INTERNET
) -> Path:
    """The file in that folder, fetched if it isn't there yet; a fetch that was cut off begins anew.

    Raises BadInput as `fetch` does, for a web page, and for a file that can't hold text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if there := [path for path in folder.iterdir() if path.name != _PART]:
        return there[0]
    part = folder / _PART
    try:
        with part.open("wb+") as file:
            fetched = fetch(url, file, largest=LARGEST, seconds=SECONDS, outside=outside, progress=progress)
            file.seek(0)
            beginning = file.read(FIRST_BYTES)
        if fetched.content_type.lower().startswith(_PAGES):
            raise BadInput(f"At {shown(url, 200)} is a web page, not a file of text.", "Give the address of the file.")
        return part.rename(folder / file_name(fetched.name, beginning))
    finally:
        part.unlink(missing_ok=True)
