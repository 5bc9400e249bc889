"""`glassbox quickstart`: a first model, from raw text to samples, with one command."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from glassbox.cli.errors import INTERRUPTED
from glassbox.cli.numbers import duration
from glassbox.cli.options import JsonOption, WorkspaceOption
from glassbox.cli.output import print_json, say, standard_error, standard_output
from glassbox.cli.stage_run import watched
from glassbox.cli.tables import listing
from glassbox.flows.chain import run_chain
from glassbox.flows.quickstart import SOURCE, quickstart
from glassbox.stages.execution import Outcome, execute
from glassbox.stages.interface import Stage, StageSettings
from glassbox.workspace import Artifact, Workspace

BASELINES = {
    "unigram": "how often each token stands in the training text",
    "gzip": "gzip -9 on the same bytes",
    "xz": "xz -9 --extreme on the same bytes",
    "xz_after_training_text": "xz that has read the training text first",
}


def command(
    minutes: Annotated[float, typer.Option(min=0.01, max=600, help="How long to pretrain.")] = 3.0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a first language model from the documentation that comes with Python.

    Collects the text, splits it, learns a tokenizer, packs shards, pretrains, measures the model on text that it has
    never seen beside compressors, and lets it write.
    """
    began = time.monotonic()
    opened = Workspace(workspace)
    steps = quickstart(minutes)

    def announce(place: int, stage: Stage) -> None:
        standard_error().print(Text.assemble(f"\n{place}/{len(steps)} {stage.name}  ", (stage.summary, "dim")))

    def one(stage: Stage, settings: StageSettings, inputs: Mapping[str, Artifact]) -> Outcome:
        return watched(
            lambda watcher, stop: execute(stage, settings, opened, inputs, name=SOURCE, watcher=watcher, stop=stop)
        )

    outcomes = run_chain(steps, one, announce)
    last = outcomes[-1].run
    if last.state != "finished":
        say(f"Interrupted. Resume with: glassbox runs resume {last.id}")
        raise typer.Exit(INTERRUPTED)
    results: dict[str, Any] = {outcome.run.record.stage: dict(outcome.result) for outcome in outcomes}
    if as_json:
        made = {a.kind: a.reference for outcome in outcomes for a in outcome.outputs.values()}
        print_json({"seconds": time.monotonic() - began, "outputs": made, **results})
        return
    model = next(a for outcome in outcomes for a in outcome.outputs.values() if a.kind == "model")
    _summary(results["evaluate"], model.reference, time.monotonic() - began)


def _summary(report: Mapping[str, Any], model: str, seconds: float) -> None:
    """The model beside its baselines, and what to type next."""
    console = standard_output()
    rows = [(name, BASELINES[name], bits) for name, bits in report["baselines"].items()]
    rows.append((model, "the model of this run", report["bits_per_byte"]))
    rows.sort(key=lambda row: -row[2])
    console.print(f"\nBits per byte of {report['bytes']:,} bytes that the model never saw; lower is better")
    console.print(
        listing(
            ("", "what it is", "bits per byte"),
            [
                [
                    Text(cell, style="bold" if name == model else "")
                    for cell in (name.replace("_", " "), about, f"{bits:.3f}")
                ]
                for name, about, bits in rows
            ],
            numeric=["bits per byte"],
        )
    )
    console.print(f"margin of the model's figure (95 %): ± {report['margin']:.3f}", style="dim")
    console.print(f"\nDone in {duration(seconds)}. Next:")
    for line, about in (
        (f'glassbox sample --model {SOURCE} --prompt "Raised when"', "let it write"),
        ("glassbox runs list", "what ran"),
        (f"glassbox artifacts lineage model {SOURCE}", "from the model back to its text"),
        ("glassbox collect --source files --path FOLDER", "begin with your own text"),
    ):
        console.print(Text.assemble("  ", f"{line:<66}", (about, "dim")))
