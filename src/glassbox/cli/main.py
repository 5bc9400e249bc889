"""`glassbox`: one command for each stage, and groups of commands to look at what stages made.

Only what the arguments name is imported: `glassbox --help` reads the first lines of the stages' files, `glassbox
tokenize` imports that stage. A new stage needs nothing here; another group or command is one line in the tables below.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

import glassbox
from glassbox.cli.errors import explain
from glassbox.stages import registry

GROUPS = {
    "runs": ("glassbox.cli.runs:commands", "List, show, follow, plot, resume and delete runs."),
    "artifacts": ("glassbox.cli.artifacts:commands", "List, show, verify, trace, share and delete artifacts."),
    "spec": ("glassbox.cli.spec:commands", "Describe models and count what they cost, without building one."),
    "compare": ("glassbox.cli.compare:commands", "Lay the engines beside one another: numbers, times, curves, source."),
    "tokenizer": ("glassbox.cli.tokenizer:commands", "See how text becomes tokens; measure, compare and price that."),
    "accounts": ("glassbox.cli.accounts:commands", "Add people to a workshop, and say what they may do."),
    "digits": ("glassbox.cli.digits:commands", "Train a tiny model on Max ( 5 3 9 ), try it, see where it looks."),
}
"""Name → where its Typer app is, and its summary."""

COMMANDS: dict[str, tuple[str, str]] = {
    "quickstart": ("glassbox.cli.quickstart:command", "Build a first model, from raw text to samples."),
    "microgpt": ("glassbox.cli.microgpt:command", "Train a tiny GPT on names and write new ones, with any engine."),
    "serve-model": ("glassbox.cli.serve_model:command", "Serve a model over HTTP: OpenAI's API, and what it computes."),
    "workshop": ("glassbox.cli.workshop:command", "Serve all of it to the browser, and to programs over HTTP."),
    "workshop-link": ("glassbox.cli.workshop:link", "Another address that lets one browser into the workshop."),
}
"""Name → where its function is, and its summary."""

LOOKS: dict[str, tuple[str, str]] = {
    "trace": ("glassbox.cli.trace:command", "Look into a model while it reads a text."),
}
"""The same, of commands that make nothing."""

RUNNERS = {
    "compare-engines": "glassbox.cli.compare:run_comparison",
    "compare-training": "glassbox.cli.compare:run_training",
}
"""Stage → the function that runs it for a person, where a table of facts would not do. They have a group's command too,
and the list of all commands leaves them out."""

_STAGES, _LOOK = "From text to model", "Look at what there is"


def main() -> None:
    """The entry point."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line, and return the exit code: 0, 1 for a fault of ours, 2 for bad input, 130 if interrupted."""
    try:
        command = typer.main.get_command(_app(arguments))
        return command.main(list(arguments), prog_name="glassbox", standalone_mode=False) or 0
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("GLASSBOX_TRACEBACK"):
            raise
        return explain(error, arguments)


def _app(arguments: Sequence[str]) -> typer.Typer:
    app = typer.Typer(help=glassbox.__doc__, add_completion=False, pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(_glassbox)
    for panel, commands in ((_STAGES, COMMANDS), (_LOOK, LOOKS)):
        for name, (place, summary) in commands.items():
            app.command(name, help=summary, rich_help_panel=panel)(_load(place) if name in arguments else _nothing)
    for stage in registry.stages():
        _add_stage(app, stage, wanted=stage.name in arguments)
    for name, (place, summary) in GROUPS.items():
        group = _load(place) if name in arguments else typer.Typer(callback=_nothing)
        app.add_typer(group, name=name, help=summary, rich_help_panel=_LOOK)
    return app


def _add_stage(app: typer.Typer, stage: registry.StageSummary, *, wanted: bool) -> None:
    if wanted:
        from glassbox.cli.stage_command import stage_command
        from glassbox.cli.stage_help import StageCommand

        runner = _load(RUNNERS[stage.name]) if stage.name in RUNNERS else None
        command = stage_command(registry.load_stage(stage.name), runner)
        app.command(stage.name, cls=StageCommand, rich_help_panel=_STAGES)(command)
    else:
        summary = stage.summary.replace("[", r"\[")  # Typer reads brackets as markup
        hidden = stage.name in RUNNERS
        app.command(stage.name, help=summary, rich_help_panel=_STAGES, hidden=hidden)(_nothing)


def _load(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _nothing() -> None: ...


def _glassbox(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(glassbox.__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
