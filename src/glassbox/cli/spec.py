"""`glassbox spec`: describe models and count what they cost, without building one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from glassbox.errors import BadInput
from glassbox.spec import ModelSpec, count_flops, count_memory, count_parameters, preset, presets
from glassbox.spec.weights import PARTS

commands = typer.Typer(no_args_is_help=True, help="Describe models and count what they cost, without building one.")

Model = Annotated[str, typer.Argument(help="A preset's name (`glassbox spec list`), or a spec.json.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@commands.command("list")
def list_presets(as_json: Json = False) -> None:
    """The presets, with their exact numbers of parameters."""
    counts = {name: count_parameters(preset(name)).total for name in presets()}
    if as_json:
        print(json.dumps({name: {"about": about, "total": counts[name]} for name, about in presets().items()}))
        return
    table = Table("name", "what it is", box=None, header_style="dim")
    table.add_column("parameters", justify="right")
    for name, about in presets().items():
        table.add_row(name, about, f"{counts[name]:,}")
    Console().print(table)


@commands.command("show")
def show(model: Model, as_json: Json = False) -> None:
    """Every field of a description; with --json as a file that other commands read."""
    spec = described(model)
    if as_json:
        print(spec.model_dump_json(indent=2))
        return
    table = Table("field", "value", "meaning", box=None, header_style="dim")
    for name, field in ModelSpec.model_fields.items():
        table.add_row(name, str(getattr(spec, name)), field.description or "")
    Console().print(table)


@commands.command("count")
def count(
    model: Model,
    batch: Annotated[int, typer.Option(min=1, help="Texts at once, for the memory of training and of the cache.")] = 1,
    context: Annotated[
        int | None, typer.Option(min=1, help="Tokens of each text; default: all the model reads.")
    ] = None,
    optimizer: Annotated[str, typer.Option(help="sgd, momentum, adam, adamw or muon.")] = "adamw",
    as_json: Json = False,
) -> None:
    """Parameters by part, FLOPs per token, memory for training and for the cache."""
    spec = described(model)
    if optimizer not in ("sgd", "momentum", "adam", "adamw", "muon"):
        raise BadInput(f"No optimiser is called {optimizer!r}.", "Use sgd, momentum, adam, adamw or muon.")
    parameters = count_parameters(spec)
    flops = count_flops(spec, context)
    memory = count_memory(spec, batch=batch, context=context, optimizer=optimizer)
    if as_json:
        counted = {**asdict(parameters), "flops_per_token": asdict(flops), "memory_bytes": asdict(memory)}
        print(json.dumps(counted))
        return
    console = Console()
    table = Table("part", box=None, header_style="dim")
    for heading in ("parameters", "share", "FLOPs per token"):
        table.add_column(heading, justify="right")
    for part in PARTS:
        number = parameters.by_part[part]
        table.add_row(part, f"{number:,}", f"{number / parameters.total:.1%}", f"{flops.by_part[part]:,.0f}")
    table.add_row("total", f"{parameters.total:,}", "", f"{flops.forward:,.0f}", style="bold")
    console.print(table)
    console.print(f"without embeddings  {parameters.without_embeddings:>18,}")
    if parameters.active != parameters.total:
        console.print(f"active per token    {parameters.active:>18,}")
    console.print(
        f"\nTraining on {batch} x {context or spec.context} tokens in float32 with {optimizer} holds "
        f"{size(memory.training)} at most\n(weights {size(memory.weights)}, gradients {size(memory.gradients)}, "
        f"optimiser {size(memory.optimizer)}, activations {size(memory.activations)}, not all at once);\n"
        f"a process on a processor takes about {size(memory.process)} for it, besides PyTorch itself.\n"
        f"Cache of keys and values for as many: {size(memory.cache)}, {size(memory.cache_per_token)} per token"
    )


def described(model: str) -> ModelSpec:
    """The preset of that name, or the description in that file. Raises BadInput when it is neither."""
    if model.endswith(".json") or "/" in model:
        return ModelSpec.load(Path(model))
    return preset(model)


def size(number: float) -> str:
    """Bytes for people: 1.46 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"
