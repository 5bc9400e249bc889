"""`glassbox spec`: describe models and count what they cost, without building one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.console import Console
from rich.table import Table

from glassbox.cli import spec_comparison
from glassbox.cli.options import JsonOption, WorkspaceOption
from glassbox.cli.output import print_json, say
from glassbox.cli.pictures import SaveOption, ThemeOption, check_picture, write
from glassbox.cli.pictures import show as show_pictures
from glassbox.errors import BadInput
from glassbox.pictures import Listing
from glassbox.pictures.parameters import parameters_by_part
from glassbox.spec import ModelSpec, count_flops, count_memory, count_parameters, described, preset, presets
from glassbox.spec.comparison import TOKENS_PER_PARAMETER, Counted, differences
from glassbox.spec.comparison import compare as compare_specs
from glassbox.spec.memory import Optimizer
from glassbox.spec.weights import PARTS
from glassbox.workspace.descriptions import Descriptions
from glassbox.workspace.workspace import default_folder

if TYPE_CHECKING:
    from glassbox.evaluation.training_time import Pace

commands = typer.Typer(no_args_is_help=True, help="Describe models and count what they cost, without building one.")

Model = Annotated[str, typer.Argument(help="A name (`glassbox spec list`), or a spec.json.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@commands.command("list")
def list_presets(as_json: Json = False, workspace: WorkspaceOption = None) -> None:
    """The presets and your own descriptions, with their exact numbers of parameters."""
    own, damaged = _readable(_own(workspace).list())
    known = {**dict.fromkeys(own, "your own"), **presets()}
    counts = {name: count_parameters(own[name] if name in own else preset(name)).total for name in known}
    for problem in damaged:
        say(problem)
    if as_json:
        print(json.dumps({name: {"about": about, "total": counts[name]} for name, about in known.items()}))
        return
    table = Table("name", "what it is", box=None, header_style="dim")
    table.add_column("parameters", justify="right")
    for name, about in known.items():
        table.add_row(name, about, f"{counts[name]:,}")
    Console().print(table)


@commands.command("show")
def show(
    model: Model,
    save: SaveOption = None,
    theme: ThemeOption = "dark",
    as_json: Json = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Every field of a description; with --json as a file that other commands read."""
    check_picture(save, theme)
    spec = own_or_known(model, workspace)
    counted = count_parameters(spec)
    by_part = parameters_by_part(f"{counted.total:,} parameters", {model: counted})
    fields = [[name, str(getattr(spec, name))] for name in ModelSpec.model_fields]
    write([by_part, Listing("its description", ("field", "value"), fields)], save, theme, title=model)
    if as_json:
        print(spec.model_dump_json(indent=2))
        return
    table = Table("field", "value", "meaning", box=None, header_style="dim")
    for name, field in ModelSpec.model_fields.items():
        table.add_row(name, str(getattr(spec, name)), field.description or "")
    Console().print(table)
    show_pictures([by_part], theme)


@commands.command("count")
def count(
    model: Model,
    batch: Annotated[int, typer.Option(min=1, help="Texts at once, for the memory of training and of the cache.")] = 1,
    context: Annotated[
        int | None, typer.Option(min=1, help="Tokens of each text; default: all the model reads.")
    ] = None,
    optimizer: Annotated[str, typer.Option(help="sgd, momentum, adam, adamw or muon.")] = "adamw",
    as_json: Json = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Parameters by part, FLOPs per token, memory for training and for the cache."""
    spec = own_or_known(model, workspace)
    chosen: Optimizer = _one_of(optimizer, get_args(Optimizer), "optimiser")
    parameters = count_parameters(spec)
    flops = count_flops(spec, context)
    memory = count_memory(spec, batch=batch, context=context, optimizer=chosen)
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


@commands.command("compare")
def compare(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Names (`glassbox spec list`) or spec.json files.")
    ],
    batch: Annotated[int, typer.Option(min=1, help="Texts at once.")] = 1,
    context: Annotated[
        int | None, typer.Option(min=1, help="Tokens of each text.", show_default="all that each model reads")
    ] = None,
    optimizer: Annotated[str, typer.Option(help="sgd, momentum, adam, adamw or muon.")] = "adamw",
    number_format: Annotated[
        str, typer.Option("--format", help="Of weights and activations: float32, bfloat16, float16, float64.")
    ] = "float32",
    tokens: Annotated[
        float | None,
        typer.Option(min=1, help="Tokens of the whole training.", show_default=f"{TOKENS_PER_PARAMETER} per parameter"),
    ] = None,
    time: Annotated[
        bool, typer.Option("--time", help="Predict the time of training on this device: trains each for two seconds.")
    ] = False,
    machine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Price the time by a machine of prices.toml; with flops there, its time.",
            show_default=False,
        ),
    ] = None,
    save: SaveOption = None,
    theme: ThemeOption = "dark",
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Parameters, FLOPs, memory, time and cost of any number of descriptions, side by side."""
    check_picture(save, theme)
    specs = {model: own_or_known(model, workspace) for model in models}
    chosen = _one_of(number_format, ("float32", "bfloat16", "float16", "float64"), "format")
    counted = compare_specs(
        specs,
        batch=batch,
        context=context,
        optimizer=_one_of(optimizer, get_args(Optimizer), "optimiser"),
        weights_in=chosen,
        activations_in=chosen,
        training_tokens=tokens,
    )
    price = None if machine is None else _machine(machine, workspace)
    measured = time or (price is not None and price.flops is None)
    paces = _paces(specs, batch, context) if measured else {}
    times = _seconds(counted, paces, price)
    costs = {} if price is None else {name: spec_comparison.cost(seconds, price) for name, seconds in times.items()}
    different = differences(specs)
    conditions = f"{batch} x {context or 'all'} tokens in {chosen} with {optimizer}"
    conditions += _said_of_time(paces, machine, price)
    pictures = spec_comparison.figures(counted, different, times, costs, conditions)
    write(pictures, save, theme, title=" · ".join(specs))
    if as_json:
        print_json(spec_comparison.numbers(counted, different, paces, times, costs))
    else:
        show_pictures(pictures, theme)


@commands.command("save")
def save_own(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called from now on.")],
    model: Model,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Change a field; several times for several.", show_default=False
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Even if there is one of that name.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Keep a description under a name of your own, with some fields changed."""
    if name in presets():
        raise BadInput(f"{name} is a preset.", "Choose another name.")
    spec = own_or_known(model, workspace)
    if changes:
        spec = spec.replace(**dict(map(_change, changes)))
    file = _own(workspace).save(name, spec.model_dump_json(indent=2) + "\n", replace=replace)
    say(f"saved {name}, {count_parameters(spec).total:,} parameters; train it with: glassbox pretrain --preset {file}")


@commands.command("delete")
def delete_own(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of your own.")], workspace: WorkspaceOption = None
) -> None:
    """Delete a description of your own."""
    _own(workspace).delete(name)
    say(f"deleted {name}")


def own_or_known(model: str, workspace: Path | None = None) -> ModelSpec:
    """The person's own description of that name, or a preset, or the one in that file.

    Raises BadInput when it is none of them.
    """
    own = {} if model in presets() else _own(workspace).list()
    return ModelSpec.load(own[model]) if model in own else described(model)


def _own(workspace: Path | None) -> Descriptions:
    """Without opening the workspace's database, which nothing here needs."""
    return Descriptions(workspace or default_folder())


def _readable(files: Mapping[str, Path]) -> tuple[dict[str, ModelSpec], list[str]]:
    """The descriptions by name, and a sentence for each file that isn't one any more."""
    specs: dict[str, ModelSpec] = {}
    problems: list[str] = []
    for name, file in files.items():
        try:
            specs[name] = ModelSpec.load(file)
        except BadInput as error:
            problems.append(f"{file}: {error.problem}")
    return specs, problems


def _machine(name: str, workspace: Path | None) -> Any:
    from glassbox.workspace.faults import make_folder
    from glassbox.workspace.prices import Prices

    folder = workspace or default_folder()
    make_folder(folder)
    return Prices.load(folder).of_machine(name)


def _change(text: str) -> tuple[str, object]:
    """`layers=4`: the field, and its value as JSON or as a word."""
    field, equals, value = text.partition("=")
    if not equals or field not in ModelSpec.model_fields:
        near = ", ".join(ModelSpec.model_fields)
        raise BadInput(f"--set takes FIELD=VALUE, and {text!r} came.", f"Use one of the fields {near}.")
    try:
        return field, json.loads(value)
    except ValueError:
        return field, value


def _one_of(given: str, known: Sequence[str], what: str) -> Any:
    if given not in known:
        raise BadInput(f"No {what} is called {given!r}.", f"Use {', '.join(known[:-1])} or {known[-1]}.")
    return given


def _paces(specs: Mapping[str, ModelSpec], batch: int, context: int | None) -> dict[str, Pace]:
    """Each is trained for two seconds."""
    from glassbox.evaluation.training_time import measure_pace

    return {name: measure_pace(spec, batch=batch, context=context) for name, spec in specs.items()}


def _seconds(counted: Mapping[str, Counted], paces: Mapping[str, Pace], price: Any) -> dict[str, float]:
    """Of each training, as fast as the machine that is priced, or as was measured here; empty without either."""
    reached = {name: float(pace.flops) for name, pace in paces.items()}
    if price is not None and price.flops is not None:
        reached = dict.fromkeys(counted, float(price.flops))
    return {name: counted[name].training_flops / flops for name, flops in reached.items()}


def _said_of_time(paces: Mapping[str, Pace], machine: str | None, price: Any) -> str:
    """Where times and costs come from."""
    where = f"; on {machine}, priced as of {price.date} by {price.source}" if price is not None else ""
    if not paces:
        return where
    slices = [name for name, pace in paces.items() if pace.of_slice]
    sliced = f", of {', '.join(slices)} on a slice" if slices else ""
    return f"{where}; time from steps measured here{sliced}"


def size(number: float) -> str:
    """Bytes for people: 1.46 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"
