"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON object on standard output, everything else beside it.")
]
WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        metavar="FOLDER",
        help=r"Where artifacts and runs are kept. \[default: $GLASSBOX_WORKSPACE, else ~/.glassbox]",
        show_default=False,
    ),
]
