"""Running a stage for a person at a terminal, or for a script that reads JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import typer

from glassbox.cli.display import Display
from glassbox.cli.errors import INTERRUPTED
from glassbox.cli.output import print_json, say, standard_error, standard_output
from glassbox.cli.plot import WIDEST, plot
from glassbox.cli.tables import facts_table
from glassbox.stages.execution import Outcome, execute, resume
from glassbox.stages.inputs import resolve_inputs
from glassbox.stages.interface import Stage, StageSettings, Watcher
from glassbox.stages.stopping import StopRequest
from glassbox.workspace import Workspace
from glassbox.workspace.curves import curves, losses


def run_stage(
    stage: Stage,
    settings: StageSettings,
    *,
    inputs: Mapping[str, str],
    name: str | None,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Resolve the inputs, run the stage, show how it goes and what came of it."""
    opened = Workspace(workspace)
    resolved = resolve_inputs(stage, opened.artifacts, inputs)
    for choice in resolved.choices:
        say(choice)
    outcome = watched(
        lambda watcher, stop: execute(
            stage, settings, opened, resolved.artifacts, name=name, watcher=watcher, stop=stop
        )
    )
    show_outcome(outcome, as_json=as_json)


def resume_run(run_id: str, *, workspace: Workspace, as_json: bool, from_checkpoint: int | None = None) -> None:
    """The same for a run that stopped half-way."""
    outcome = watched(
        lambda watcher, stop: resume(workspace, run_id, from_checkpoint=from_checkpoint, watcher=watcher, stop=stop)
    )
    show_outcome(outcome, as_json=as_json)


def watched(run: Callable[[Watcher, StopRequest], Outcome], *, plotted: bool = False) -> Outcome:
    """Run something with a display, with the losses drawn live if wanted, and with Ctrl-C that asks first."""
    stop = StopRequest(lambda: say("Stopping as soon as the work is saved; Ctrl-C again stops at once."))
    with Display(standard_error(), plotted=plotted) as display:
        return run(display, stop)


def show_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """What came of a run. Raises typer.Exit with 130 if it was interrupted."""
    run = outcome.run
    if as_json:
        print_outcome(outcome)
    else:
        _show(outcome)
    if run.state == "interrupted":
        say(f"Interrupted. Resume with: glassbox runs resume {run.id}")
        raise typer.Exit(INTERRUPTED)


def print_outcome(outcome: Outcome) -> None:
    """The result as one JSON object, with the run and what it made."""
    outputs = {slot: artifact.reference for slot, artifact in outcome.outputs.items()}
    print_json({**outcome.result, "run": outcome.run.id, "state": outcome.run.state, "outputs": outputs})


def _show(outcome: Outcome) -> None:
    console = standard_output()
    if console.is_terminal:
        drawn = plot(losses(curves(outcome.run.events)), width=min(console.width, WIDEST), colour=True)
        if drawn is not None:
            console.print(drawn)
    made = {f"{artifact.kind} {artifact.reference}": str(artifact.place) for artifact in outcome.outputs.values()}
    console.print(facts_table({**outcome.result, **made}))
