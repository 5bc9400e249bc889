"""`glassbox compare`: the engines beside one another, their numbers and their source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from glassbox.cli.errors import FAULT, INTERRUPTED
from glassbox.cli.heatmap import ATTENTION, shade
from glassbox.cli.numbers import measured, number, size
from glassbox.cli.options import JsonOption
from glassbox.cli.output import print_json, say, standard_output
from glassbox.cli.stage_command import stage_command
from glassbox.cli.stage_help import StageCommand
from glassbox.cli.stage_run import print_outcome, watched
from glassbox.cli.tables import listing
from glassbox.cli.training_curves import show_training
from glassbox.engines.catalogue import ENGINES
from glassbox.errors import BadInput
from glassbox.stages.compare_engines import STAGE, last_bench
from glassbox.stages.compare_training import STAGE as TRAINING
from glassbox.stages.execution import execute
from glassbox.stages.inputs import resolve_inputs
from glassbox.stages.interface import Stage, StageSettings
from glassbox.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

    from glassbox.evaluation.engines.code import Comparison

commands = typer.Typer(no_args_is_help=True, help="Lay the engines beside one another: numbers, times, curves, source.")

Measured = Mapping[str, Any]
BUSY = 0.25  # share of the processors
_PARTS = ("forward", "backward", "update", "step")


def run_comparison(
    stage: Stage,
    settings: StageSettings,
    *,
    inputs: Mapping[str, str],
    name: str | None,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Run the stage and show its report as tables. Exit code 1 if the engines don't agree."""
    opened = Workspace(workspace)
    artifacts = dict(resolve_inputs(stage, opened.artifacts, inputs).artifacts)
    if "previous" not in artifacts and (last := last_bench(opened)):
        artifacts["previous"] = last
    outcome = watched(
        lambda watcher, stop: execute(stage, settings, opened, artifacts, name=name, watcher=watcher, stop=stop)
    )
    report: Any = outcome.result
    if as_json:
        print_outcome(outcome)
    else:
        console = standard_output()
        _show_step(console, report["step"])
        if "bench" in report:
            _show_bench(console, report["bench"], report.get("since"))
        for artifact in outcome.outputs.values():
            console.print(f"\nkept as the report {artifact.reference}", style="dim")
    if outcome.run.state == "interrupted":
        say("Interrupted: nothing was kept.")
        raise typer.Exit(INTERRUPTED)
    if not report["step"]["agree"]:
        raise typer.Exit(FAULT)


commands.command("engines", cls=StageCommand)(stage_command(STAGE, run_comparison))


def run_training(
    stage: Stage,
    settings: StageSettings,
    *,
    inputs: Mapping[str, str],
    name: str | None,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Run the stage with the curves drawn live, and show how far they lie apart. Exit code 1 if they do."""
    opened = Workspace(workspace)
    artifacts = resolve_inputs(stage, opened.artifacts, inputs).artifacts
    outcome = watched(
        lambda watcher, stop: execute(stage, settings, opened, artifacts, name=name, watcher=watcher, stop=stop),
        plotted=True,
    )
    report: Any = outcome.result
    if as_json:
        print_outcome(outcome)
    else:
        show_training(standard_output(), outcome)
    if outcome.run.state == "interrupted":
        say("Interrupted: nothing was kept.")
        raise typer.Exit(INTERRUPTED)
    if not report["same"]:
        raise typer.Exit(FAULT)


commands.command("training", cls=StageCommand)(stage_command(TRAINING, run_training))


@commands.command("code")
def code(
    component: Annotated[str, typer.Argument(help="attention, feedforward, normalization, positions, …")],
    engines: Annotated[
        list[str] | None, typer.Option("--engine", help="Show this one; repeat it.", show_default="all")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The same component's source in every engine, function beside function, with its formulas."""
    from glassbox.evaluation.engines.code import LEVELS, compare_code

    compared = compare_code(component)
    chosen = engines or list(ENGINES)
    if unknown := [name for name in chosen if name not in ENGINES]:
        raise BadInput(f"There is no engine called {unknown[0]!r}.", f"Choose from {', '.join(ENGINES)}.")
    if as_json:
        found = asdict(compared)
        found["engines"] = {name: found["engines"][name] for name in chosen}
        found["levels"] = {name: dict(zip(("shows", "hides"), LEVELS[name], strict=True)) for name in chosen}
        print_json(found)
        return
    _show_code(standard_output(), compared, chosen)


def _show_step(console: Console, step: Measured) -> None:
    console.print(
        f"One step of {step['parameters']:,} parameters on {step['batch']} × {step['length']} tokens with "
        f"{step['optimizer']}, in float64: largest difference to {step['reference']}, relative to each tensor\n"
    )
    rows: list[list[str | Text]] = []
    for name, found in step["engines"].items():
        apart = found["differences"]
        cells = [_difference(apart[part]["largest"], step["tolerance"]) for part in apart]
        worst = max((apart[part] for part in ("gradients", "weights")), key=lambda one: one["largest"])["worst"]
        times = [_time(found["seconds"][part]["median"]) for part in _PARTS]
        rows.append([name, *cells, "" if name == step["reference"] else worst, *times])
    parts = ("logits", "loss", "gradients", "weights")
    numeric = (*parts, *_PARTS)
    console.print(listing(("engine", *parts, "worst tensor", *_PARTS), rows, numeric))
    for name, reason in step["left_out"].items():
        console.print(Text.assemble((f"{name} left out: ", "yellow"), reason), soft_wrap=True)
    verdict = f"All within {step['tolerance']:g}." if step["agree"] else f"NOT all within {step['tolerance']:g}."
    console.print(Text(verdict, style="green" if step["agree"] else "bold red"))


def _show_bench(console: Console, bench: Measured, since: Measured | None) -> None:
    what = f"batch {bench['batch']}, {bench['length']} tokens, threads: {bench['threads']}; own precision"
    for title, value, shown in (
        (f"Seconds of a training step ({what})", lambda one: one["seconds"]["step"]["median"], _time),
        ("Peak memory above an idle engine", lambda one: one["peak_bytes"], size),
    ):
        console.print(f"\n{title}")
        console.print(_heatmap(bench, value, shown))
    console.print()
    console.print(_scaling(bench))
    if bench["crossings"]:
        console.print("\nFrom where on one engine is faster than another (by its fastest step)")
    for found in bench["crossings"]:
        console.print(f"  {_crossing(found)}", soft_wrap=True)
    console.print()
    console.print(_code_sizes(bench["code"]))
    for engine, sizes in bench["left_out"].items():
        for name, reason in sizes.items():
            console.print(Text.assemble((f"{engine} {name} left out: ", "yellow"), reason), soft_wrap=True)
    if bench["others_busy"] > BUSY:
        note = (
            f"\nOther work kept {bench['others_busy']:.0%} of the processors busy at the beginning: times are longer."
        )
        console.print(note, style="yellow", soft_wrap=True)
    if since is None:
        console.print("\nNo earlier bench of this machine to compare with.", style="dim")
    else:
        _show_since(console, since)


def _heatmap(bench: Measured, value: Callable[[Measured], float], shown: Callable[[float], str]) -> Any:
    """Engine by size; the brighter, the more, in logarithms."""
    import math

    found = {(engine, name): value(one) for engine, sizes in bench["engines"].items() for name, one in sizes.items()}
    logs = [math.log(max(each, 1e-9)) for each in found.values()]
    low, high = min(logs, default=0.0), max(logs, default=1.0)

    def cell(engine: str, name: str) -> Text:
        if (engine, name) not in found:
            return Text("left out", style="dim")
        each = found[engine, name]
        share = (math.log(max(each, 1e-9)) - low) / (high - low) if high > low else 0.0
        return Text(f" {shown(each)} ", style=shade(share, ATTENTION))

    columns = {name: f"{name} ({count['parameters']:,})" for name, count in bench["sizes"].items()}
    rows = [[engine, *(cell(engine, name) for name in columns)] for engine in bench["engines"]]
    return listing(("engine", *columns.values()), rows, columns.values())


def _scaling(bench: Measured) -> Any:
    """How each engine grows, learns, and keeps its memory."""
    rows: list[list[str | Text]] = []
    for engine, sizes in bench["engines"].items():
        if not sizes:
            continue
        exponents, first = bench["exponents"][engine], next(iter(sizes.values()))
        losses = [one["loss_after_steps"] for one in sizes.values()]
        known = [one["memory_flat"] for one in sizes.values() if one["memory_flat"] is not None]
        memory = (
            Text("too few steps", style="dim") if not known else Text("flat") if all(known) else Text("grows", "red")
        )
        rows.append(
            [
                engine,
                "" if exponents["seconds"] is None else f"FLOPs^{exponents['seconds']:.2f}",
                "" if exponents["bytes"] is None else f"parameters^{exponents['bytes']:.2f}",
                f"{first['tokens_per_second']:,.0f}",
                " ".join("-" if loss is None else measured(loss) for loss in losses),
                memory,
            ]
        )
    losses = f"losses after {bench['steps']} steps (least {bench['least_loss']:.3f})"
    tokens = f"tokens/s of {next(iter(bench['sizes']))}"
    return listing(("engine", "time grows as", "memory as", tokens, losses, "memory over the steps"), rows, [tokens])


def _crossing(found: Measured) -> str:
    ratios = found["ratios"]
    who = f"{found['faster']} against {found['than']} at {found['at']}"
    if not ratios:
        return f"{who}: not measured"
    first, last = ratios[0], ratios[-1]
    over = "parameters" if found["over"] == "parameters" else "texts in a batch"
    if found["from"] is None:
        return (
            f"{who}: not up to {last[found['over']]:,} {over}, "
            f"where it takes {number(last['time_ratio'])} times as long"
        )
    if found["from"] == first[found["over"]]:
        return f"{who}: everywhere from {first[found['over']]:,} {over}"
    return f"{who}: from about {found['from']:,.0f} {over}"


def _code_sizes(code: Measured) -> Any:
    """Lines of code and the complexity of each component."""
    components = next(iter(code.values()))["components"]
    found = {component: [code[engine]["components"][component] for engine in code] for component in components}
    rows = [[name, *(f"{one['lines']} / {one['complexity']}" for one in each)] for name, each in found.items()]
    rows.append(["all lines", *(f"{one['lines']:,}" for one in code.values())])
    return listing(("lines / complexity", *code), rows, list(code))


def _show_since(console: Console, since: Measured) -> None:
    console.print(f"\nSince {since['report']}, on this machine: ", end="")
    if not since["regressions"]:
        console.print("nothing slower or larger beyond the spread of its own steps.", style="green")
        return
    console.print()
    rows = [
        [one["engine"], one["size"], one["what"].replace("_", " "), f"× {one['times']:.2f}"]
        for one in since["regressions"]
    ]
    console.print(listing(("engine", "size", "what grew", "times"), rows, ["times"]))


def _show_code(console: Console, compared: Comparison, chosen: list[str]) -> None:
    from rich.syntax import Syntax

    rows = [
        [name, source.path, f"{source.lines}", f"{source.complexity}", f"{source.most}"]
        for name, source in compared.engines.items()
        if name in chosen
    ]
    heading = ("engine", "file", "lines of code", "complexity", "of one function at most")
    console.print(listing(heading, rows, heading[2:]))
    for row in compared.rows:
        units = {name: row.units[name] for name in chosen}
        if not any(units.values()):
            continue
        console.print(Text(f"\n{row.name}", style="bold"))
        for formula in row.formulas:
            console.print(Text(f"  {formula}", style="italic"))
        for name, unit in units.items():
            if unit is not None:
                console.print(Text(f"{name}, line {unit.line}", style="dim"))
                code = Syntax(
                    unit.source, "python", line_numbers=True, start_line=unit.line, background_color="default"
                )
                console.print(code)


def _difference(value: float, tolerance: float) -> Text:
    return Text("0" if value == 0 else f"{value:.1e}", style="" if value <= tolerance else "bold red")


def _time(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
