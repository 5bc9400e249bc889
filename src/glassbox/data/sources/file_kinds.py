"""What a file is by its first bytes, and a name for it in our folder: a person's own name for it is only a label."""

from __future__ import annotations

from pathlib import PurePosixPath

from glassbox.data.sources.archives import ARCHIVES
from glassbox.data.sources.formats import ROW_READERS
from glassbox.errors import BadInput
from glassbox.workspace.names import LONGEST_NAME, name_from, shown

FIRST_BYTES = 512

_READ = {b"PAR1": ".parquet", b"\x1f\x8b": ".gz", b"PK\x03\x04": ".zip", b"PK\x05\x06": ".zip"}
_NOT_READ = {
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"{\\rtf": "a rich text document",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x7fELF": "a program",
    b"MZ\x90": "a program",
    b"SQLite format 3": "a database",
    b"\x80\x04\x95": "a Python pickle, which could run anything when it is opened",
    b"GGUF": "a model",
}
_OFFICE = {".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub"}
_TAR_MARK, _TAR_PLACE = b"ustar", 257


def file_name(label: str, beginning: bytes) -> str:
    """A name that no file system stumbles over, with the suffix that tells readers what the file is.

    label: what its owner calls it. beginning: its first FIRST_BYTES bytes.

    Raises BadInput for what can't be read here, and for a file that isn't what its name says.
    """
    stem, suffix = _parted(label)
    found = next((suffix for mark, suffix in _READ.items() if beginning.startswith(mark)), None)
    if found is None:
        _refuse_other_kinds(label, suffix, beginning)
    elif suffix in _OFFICE:
        raise BadInput(f"{shown(label)} is an Office document or an e-book.", "Save it as plain text, and bring that.")
    elif found == ".gz" and suffix != ".gz":
        suffix += ".gz"  # tales.jsonl that is packed is tales.jsonl.gz
    elif suffix != found:
        suffix = found
    if suffix == ".gz":
        suffix = _parted(stem)[1] + ".gz"
        stem = _parted(stem)[0]
    return name_from(stem)[: LONGEST_NAME - len(suffix)].rstrip("._-") + suffix


def plain_name(label: str) -> str:
    """A name for a file that isn't what its name says, or can't be read: it is kept until its owner deletes it."""
    return f"{name_from(_parted(label)[0])[:60].rstrip('._-')}.bin"


def _refuse_other_kinds(label: str, suffix: str, beginning: bytes) -> None:
    what = next((words for mark, words in _NOT_READ.items() if beginning.startswith(mark)), None)
    if what is None and beginning[_TAR_PLACE:].startswith(_TAR_MARK):
        what = "a tar archive"
    if what is not None:
        raise BadInput(f"{shown(label)} is {what}, not text.", f"Bring text, or one of: {', '.join(_kinds())}.")
    if suffix in ARCHIVES or suffix == ".parquet":
        raise BadInput(
            f"{shown(label)} isn't what its name says: a {suffix} file begins in another way.",
            "Make or fetch it again, or give it the name of what it is.",
        )


def _kinds() -> list[str]:
    return [suffix.lstrip(".") for suffix in ("txt", "md", *ROW_READERS, "zip", "gz")]


def _parted(label: str) -> tuple[str, str]:
    """The name without the folders that some clients send, and the suffix, in lower case."""
    name = PurePosixPath(label.replace("\\", "/")).name
    suffix = PurePosixPath(name).suffix.lower()
    plain = suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) <= 10 else ""
    return name[: len(name) - len(plain)] if plain else name, plain
