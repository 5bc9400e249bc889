"""`glassbox runs`: list, show, follow, plot, resume and delete, and what their checkpoints take."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.text import Text

from glassbox.cli.numbers import age, duration, number, size
from glassbox.cli.options import JsonOption, WorkspaceOption
from glassbox.cli.output import print_json, standard_error, standard_output
from glassbox.cli.tables import STATE_STYLES, facts_table, listing
from glassbox.errors import BadInput
from glassbox.workspace import Run, Workspace
from glassbox.workspace.saved_steps import weighed_steps
from glassbox.workspace.states import RESUMABLE

commands = typer.Typer(no_args_is_help=True, help="List, show, follow, plot, resume and delete runs.")

NewestRun = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="A run's id, or how it begins.", show_default="the newest")
]


@commands.command("list")
def list_runs(
    stage: Annotated[str | None, typer.Option(help="Only runs of this stage.", show_default=False)] = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Every run, newest first."""
    entries = Workspace(workspace).runs.list(stage)
    if as_json:
        print_json(
            {
                "runs": [
                    {
                        "id": entry.id,
                        "stage": entry.stage,
                        "name": entry.name,
                        "state": entry.state,
                        "attempt": entry.attempt,
                        "created": entry.created.isoformat(),
                        "problem": entry.problem,
                    }
                    for entry in entries
                ]
            }
        )
        return
    if not entries:
        standard_error().print("No runs yet. Begin with: glassbox collect --help", style="dim")
        return
    rows = [
        (
            entry.id,
            entry.name,
            Text(entry.state or "damaged", style=STATE_STYLES[entry.state or "damaged"]),
            number(entry.attempt),
            age(entry.created) if entry.problem is None else "",
        )
        for entry in entries
    ]
    standard_output().print(listing(("run", "name", "state", "attempt", "age"), rows, numeric=("attempt", "age")))


@commands.command("show")
def show(run_id: NewestRun = None, as_json: JsonOption = False, workspace: WorkspaceOption = None) -> None:
    """Settings, inputs, outputs, result and state of a run."""
    run = _run(Workspace(workspace), run_id)
    facts = _facts(run)
    checkpoints = weighed_steps(run.checkpoints)
    if as_json:
        print_json(facts | {"checkpoints": [asdict(one) for one in checkpoints]})
    else:
        facts["checkpoints"] = {f"step {one.step:,}": size(one.bytes) for one in checkpoints}
        standard_output().print(facts_table({name: value for name, value in facts.items() if value not in (None, {})}))


@commands.command("follow")
def follow(run_id: NewestRun = None, as_json: JsonOption = False, workspace: WorkspaceOption = None) -> None:
    """Watch a run until it ends; with --json, one object a line as the events come."""
    from glassbox.cli.display import Display
    from glassbox.stages.interface import Progress

    run = _run(Workspace(workspace), run_id)
    if as_json:
        for event in run.follow():
            typer.echo(event.to_json())
        return
    with Display(standard_output(), plotted=True) as display:
        for event in run.follow():
            if event.kind == "progress":
                display.on_progress(Progress(**event.fields))
            else:
                display.on_event(event)
    standard_error().print(f"{run.id} is {Run.read(run.folder).state}.", style="dim")


@commands.command("plot")
def plot_metrics(
    run_id: NewestRun = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="What to draw; may be repeated.", show_default="the losses")
    ] = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Draw the metrics of a run over its steps."""
    from glassbox.cli.plot import WIDEST, plot
    from glassbox.workspace.curves import curves, losses

    run = _run(Workspace(workspace), run_id)
    found = curves(run.events)
    if unknown := [name for name in metric or () if name not in found]:
        known = f"Use one of: {', '.join(found)}." if found else "Choose a run of a stage that trains."
        raise BadInput(f"The run {run.id} has no metric called {unknown[0]}.", known)
    chosen = {name: found[name] for name in metric} if metric else losses(found)
    if as_json:
        print_json({"run": run.id, "metrics": chosen})
        return
    console = standard_output()
    drawn = plot(chosen, width=min(console.width, WIDEST), colour=console.is_terminal)
    if drawn is None:
        remedy = f"Choose some with --metric: {', '.join(found)}." if found else "Choose a run of a stage that trains."
        raise BadInput(f"The run {run.id} has fewer than two values to draw.", remedy)
    console.print(drawn)


@commands.command("resume")
def resume(
    run_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="A run's id, or how it begins.", show_default="the newest that stopped half-way"
        ),
    ] = None,
    from_checkpoint: Annotated[
        int | None,
        typer.Option(
            metavar="STEP",
            help="Go back to this step's checkpoint and drop later ones; `runs show` lists them.",
            show_default="the newest",
        ),
    ] = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Go on with a run that failed or was interrupted, with the settings and inputs that it was given."""
    from glassbox.cli.stage_run import resume_run

    opened = Workspace(workspace)
    if run_id is None:
        run_id = next((entry.id for entry in opened.runs.list() if entry.state in RESUMABLE), None)
        if run_id is None:
            raise BadInput("No run is waiting to be resumed.", "See what there is: glassbox runs list.")
    resume_run(run_id, workspace=opened, as_json=as_json, from_checkpoint=from_checkpoint)


@commands.command("delete")
def delete(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN...", help="The runs' ids, or how they begin.")],
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Delete runs with their events and checkpoints; what they made stays."""
    runs = Workspace(workspace).runs
    folders = [runs.folder_of(run_id) for run_id in run_ids]  # all are found before any is deleted
    for folder in folders:
        runs.delete(folder.name)
    if as_json:
        print_json({"deleted": [folder.name for folder in folders]})
    else:
        standard_error().print(f"Deleted {', '.join(folder.name for folder in folders)}.", style="dim")


@commands.command("delete-checkpoints")
def delete_checkpoints(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN...", help="The runs' ids, or how they begin.")],
    force: Annotated[bool, typer.Option("--force", help="Also those that a run could be resumed from.")] = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Delete the checkpoints of runs; the runs, their events and what they made stay."""
    runs = Workspace(workspace).runs
    found = [runs.get(run_id).id for run_id in run_ids]  # all are found before anything is deleted
    freed = {run_id: runs.delete_checkpoints(run_id, force=force) for run_id in found}
    if as_json:
        print_json({"freed_bytes": freed})
    else:
        standard_error().print(f"{size(sum(freed.values()))} are free again.", style="dim")


def _run(workspace: Workspace, run_id: str | None) -> Run:
    if run_id is not None:
        return workspace.runs.get(run_id)
    newest = next(iter(workspace.runs.list()), None)
    if newest is None:
        raise BadInput("There are no runs yet.", "Begin with: glassbox collect --help.")
    return workspace.runs.get(newest.id)


def _facts(run: Run) -> dict[str, Any]:
    record, status = run.record, run.status
    return {
        "run": run.id,
        "stage": record.stage,
        "name": record.name,
        "state": run.state,
        "attempt": status.attempt,
        "created": record.created.isoformat(timespec="seconds"),
        "took": None if run.seconds is None else duration(run.seconds),
        "settings": record.settings,
        "inputs": {slot: str(link) for slot, link in record.inputs.items()},
        "outputs": {slot: str(link) for slot, link in status.outputs.items()},
        "result": status.result,
        "problem": status.problem.model_dump() if status.problem else None,
        "folder": str(run.folder),
    }
