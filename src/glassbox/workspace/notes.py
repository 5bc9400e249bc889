"""What a person writes about an artifact: `artifacts/<kind>/<name>/<version>.note.md`, beside the artifact itself.

The artifact's folder never changes once it is published; a note may, as often as its owner likes.
"""

from __future__ import annotations

from pathlib import Path

from glassbox.errors import BadInput
from glassbox.workspace import atomic
from glassbox.workspace.faults import disk_faults_as_bad_input

LONGEST_NOTE = 20_000  # characters


def note_file(artifact: Path) -> Path:
    """Where the note on the artifact in this folder lies, or would lie."""
    return artifact.with_name(f"{artifact.name}.note.md")


def read_note(artifact: Path) -> str:
    """The note on the artifact in this folder; empty if nobody wrote one. Raises BadInput if it isn't UTF-8."""
    file = note_file(artifact)
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise BadInput(f"{file} isn't UTF-8 text.", "Write the note anew.") from None


def write_note(artifact: Path, text: str) -> None:
    """Replace the note, or take it away where the text is blank. Raises BadInput for a text that is too long."""
    if len(text) > LONGEST_NOTE:
        raise BadInput(
            f"A note has at most {LONGEST_NOTE:,} characters, and one of {len(text):,} came.", "Make it shorter."
        )
    with disk_faults_as_bad_input(artifact.parent):
        if text.strip():
            atomic.write_file(note_file(artifact), text.encode())
        else:
            note_file(artifact).unlink(missing_ok=True)
