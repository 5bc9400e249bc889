"""Whatever went wrong, said in two sentences: what, and what to do. No traceback ever reaches the person."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from typer.exceptions import TyperException

from glassbox.cli.output import print_json, standard_error
from glassbox.errors import BadInput

if TYPE_CHECKING:
    from glassbox.stages.execution import StageFault

BAD_INPUT = 2
FAULT = 1
INTERRUPTED = 130
"""What shells give for a process that Ctrl-C ended."""


def explain(error: BaseException, arguments: Sequence[str]) -> int:
    """Tell the person, and return the exit code."""
    as_json = "--json" in arguments
    if isinstance(error, BadInput):
        return _tell(error.problem, error.remedy, as_json=as_json, code=BAD_INPUT)
    if isinstance(error, TyperException):
        return _tell(_sentence(error.format_message()), _usage(error), as_json=as_json, code=BAD_INPUT)
    if isinstance(error, KeyboardInterrupt):
        return _tell("Interrupted.", "Resume a run with: glassbox runs resume.", as_json=as_json, code=INTERRUPTED)
    if isinstance(error, BrokenPipeError):  # whoever read our output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAULT
    if _is_stage_fault(error):
        return _tell(
            f"The run {error.run_id} failed by a fault of Glassbox: {error}.",
            f"The full traceback is in {error.trace}; please report it.",
            as_json=as_json,
            code=FAULT,
        )
    where = traceback.extract_tb(error.__traceback__)[-1]
    return _tell(
        f"Glassbox failed by a fault of its own: {type(error).__name__}: {error} ({where.filename}:{where.lineno}).",
        "Please report it. With GLASSBOX_TRACEBACK=1 the full traceback is shown.",
        as_json=as_json,
        code=FAULT,
    )


def _is_stage_fault(error: Any) -> TypeGuard[StageFault]:
    """Without importing stages for commands that don't run any."""
    execution = sys.modules.get("glassbox.stages.execution")
    return execution is not None and isinstance(error, execution.StageFault)


def _tell(problem: str, remedy: str, *, as_json: bool, code: int) -> int:
    from rich.text import Text

    if as_json:
        print_json({"error": {"problem": problem, "remedy": remedy}})
    console = standard_error()
    console.print(Text.assemble(("error: ", "bold red"), problem), soft_wrap=True)
    console.print(Text.assemble(("    → ", "dim"), remedy), soft_wrap=True)
    return code


def _sentence(message: str) -> str:
    return message if message.endswith((".", "?")) else message + "."


def _usage(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "glassbox"
    return f"See: {command} --help."
