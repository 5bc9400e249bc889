"""`glassbox digits`: the digit task from its examples to the attention of the trained model."""

from __future__ import annotations

import inspect
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glassbox.cli.options import JsonOption, WorkspaceOption
from glassbox.cli.output import print_json, standard_output
from glassbox.cli.stage_command import stage_command
from glassbox.cli.stage_help import StageCommand
from glassbox.cli.tables import listing
from glassbox.data.digits import OPERATIONS, TASKS, Example, Task, generate, parse
from glassbox.errors import BadInput
from glassbox.stages.registry import load_stage

if TYPE_CHECKING:
    from glassbox.evaluation.digits import Answer, DigitModel

SUMMARY = "Train a tiny model on Max ( 5 3 9 ), try it, see where it looks."

commands = typer.Typer(no_args_is_help=True, help=SUMMARY)

ModelOption = Annotated[
    str,
    typer.Option(metavar="NAME[:VERSION]", help="A model of this task; two-digits is that of the task two-digit."),
]
EngineOption = Annotated[str, typer.Option(help="What computes: scalars, lists, arrays or tensors.")]
TaskOption = Annotated[str, typer.Option(help="one-digit or two-digit.")]


@commands.command("generate")
def generate_examples(
    task: TaskOption = "one-digit",
    size: Annotated[str, typer.Option(help="small, medium or large.")] = "medium",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same examples.")] = 0,
    folder: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write train.jsonl and test.jsonl there.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The examples that a training with this task, size and seed learns from, and those that it is measured on."""
    split = generate(_task(task), size, seed)
    files = [] if folder is None else _write(folder, split._asdict())
    if as_json:
        shown = {name: [_as_json(example) for example in examples[:5]] for name, examples in split._asdict().items()}
        counts = {
            name: Counter(example.operation for example in examples) for name, examples in split._asdict().items()
        }
        print_json({"task": task, "size": size, "seed": seed, "counts": counts, "first": shown, "files": files})
        return
    console = standard_output()
    for name, examples in split._asdict().items():
        console.print(f"{name}: {len(examples):,} examples", style="dim")
        for operation in OPERATIONS:
            some = [example for example in examples if example.operation == operation]
            console.print(f"  {len(some):>6,}  {some[0].text} → {some[0].answer}", markup=False)
    for file in files:
        console.print(f"wrote {file}", markup=False)


def _train_command() -> Any:
    """The stage's own command, with one more option."""
    stage = load_stage("train-digits")
    whole = stage_command(stage)

    def stepwise(stage: Any, settings: Any, **_: Any) -> None:
        from glassbox.cli.digit_steps import show_steps

        show_steps(settings)

    one_by_one = stage_command(stage, stepwise)

    def train(step_by_step: bool = False, **options: Any) -> None:
        if step_by_step and options["as_json"]:
            raise BadInput("--step-by-step is shown to a person, --json to a program.", "Give one of the two.")
        (one_by_one if step_by_step else whole)(**options)

    option = Annotated[
        bool,
        typer.Option(
            "--step-by-step",
            help="Show one batch at a time: Enter goes on, a number does so many, q quits. Nothing is kept.",
        ),
    ]
    more = inspect.Parameter("step_by_step", inspect.Parameter.KEYWORD_ONLY, annotation=option, default=False)
    train.__doc__ = whole.__doc__
    train.__annotations__ = {**whole.__annotations__, "step_by_step": option}
    train.__signature__ = inspect.Signature(  # Typer reads it there
        [*inspect.signature(whole).parameters.values(), more]
    )
    return train


commands.command("train", cls=StageCommand)(_train_command())


@commands.command()
def evaluate(
    model: ModelOption = "digits",
    engine: EngineOption = "arrays",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """How often a model is right on expressions that it has never seen, for each operation, and some of its errors."""
    from glassbox.evaluation.digits import answers

    loaded = _model(model, engine, workspace)
    found = list(zip(loaded.test, answers(loaded.model, loaded.test), strict=True))
    wrong = [(example, answer) for example, answer in found if answer.number != example.answer]
    counts, failures = (Counter(example.operation for example, _ in some) for some in (found, wrong))
    accuracy = {operation: 1 - failures[operation] / count for operation, count in counts.items()}
    if as_json:
        print_json(
            {
                "model": model,
                "engine": engine,
                "test_examples": len(found),
                "accuracy": 1 - len(wrong) / len(found),
                "accuracy_by_operation": {operation: accuracy[operation] for operation in OPERATIONS},
                "wrong": [_as_json(example) | {"said": " ".join(answer.words)} for example, answer in wrong[:20]],
            }
        )
        return
    console = standard_output()
    rows = [_right(operation, counts[operation], failures[operation]) for operation in OPERATIONS]
    rows.append(_right("all", len(found), len(wrong)))
    console.print(listing(("operation", "right", "accuracy"), rows, numeric=("right", "accuracy")))
    for example, answer in wrong[:5]:
        said = " ".join(answer.words)
        console.print(f"wrong: {example.text} → {said}, and {example.answer} is right", style="dim", markup=False)


@commands.command("try")
def try_one(
    expression: Annotated[str, typer.Argument(help='Such as "Max ( 5 3 9 )".', show_default=False)],
    model: ModelOption = "digits",
    engine: EngineOption = "arrays",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a model answers to an expression, and how sure it is."""
    from glassbox.evaluation.digits import answers

    loaded = _model(model, engine, workspace)
    example = parse(expression, loaded.task)
    [answer] = answers(loaded.model, [example])
    if as_json:
        print_json(
            {
                **_as_json(example),
                "said": answer.number,
                "words": answer.words,
                "probabilities": [
                    dict(zip(_choices(loaded), row.tolist(), strict=True)) for row in answer.probabilities
                ],
            }
        )
        return
    _show_answer(loaded, example, answer)


@commands.command()
def attention(
    expression: Annotated[
        str | None, typer.Argument(help='Such as "Max ( 5 3 9 )"; left out: a Last and a Max.')
    ] = None,
    layer: Annotated[int | None, typer.Option(min=0, help="Counted from 0; left out: the last one.")] = None,
    model: ModelOption = "digits",
    engine: EngineOption = "arrays",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Where a model looks, as a heatmap for each head, and how focused it is in each operation.

    A row is the token that looks, a column the one it looks at; cells are per cent.

    The entropy per operation is that of the one row which the answer is made from (the first token's in the last layer;
    the closing bracket's in a model that writes), averaged over heads, of the digits alone: 0 where one digit gets all
    attention, 1 where all get the same, whatever their number. Measured on expressions that training never saw.
    """
    from glassbox.cli.digit_attention import as_numbers, show

    loaded = _model(model, engine, workspace)
    if expression is None:
        examples = [_first(loaded.test, operation) for operation in ("Last", "Max")]
    else:
        examples = [parse(expression, loaded.task)]
    layers = loaded.model.spec.layers
    if layer is not None and layer >= layers:
        raise BadInput(f"The model has {layers} layers, and layer {layer} was asked for.", f"Give 0 to {layers - 1}.")
    if as_json:
        print_json(as_numbers(loaded, examples))
    else:
        show(loaded, examples, layers - 1 if layer is None else layer)


def _show_answer(loaded: DigitModel, example: Example, answer: Answer) -> None:
    from rich.text import Text

    from glassbox.cli.heatmap import bar

    console = standard_output()
    verdict = "right" if answer.number == example.answer else f"wrong: {example.answer} is right"
    console.print(f"{example.text} → {' '.join(answer.words)}   {verdict}\n", markup=False)
    for word, row in zip(answer.words, answer.probabilities, strict=True):
        ranked = sorted(zip(row.tolist(), _choices(loaded), strict=True), reverse=True)
        for probability, choice in ranked[:5]:
            mark = "bold" if choice == word else ""
            console.print(Text.assemble((f"{choice:>7}  ", mark), bar(probability, 40), f"  {probability:.4f}"))
        console.print()


def _choices(loaded: DigitModel) -> list[str]:
    """What each probability is of."""
    from glassbox.tokenizers.digits import WORDS

    return list(map(str, range(10))) if loaded.model.spec.head == "classes" else list(WORDS)


def _model(reference: str, engine_name: str, workspace: Path | None) -> DigitModel:
    from glassbox.engines.catalogue import engine
    from glassbox.evaluation.digits import load_digit_model
    from glassbox.workspace import Workspace

    chosen = engine(engine_name)
    opened = Workspace(workspace)
    return load_digit_model(opened.artifacts.get("model", reference).folder, chosen)


def _task(name: str) -> Task:
    if name not in TASKS:
        raise BadInput(f"There is no task called {name!r}.", f"Choose one of {', '.join(TASKS)}.")
    return TASKS[name]


def _first(examples: list[Example], operation: str) -> Example:
    return next(example for example in examples if example.operation == operation)


def _as_json(example: Example) -> dict[str, Any]:
    return {"text": example.text, "operation": example.operation, "answer": example.answer}


def _right(name: str, count: int, failures: int) -> list[str]:
    """A row of the table of accuracies."""
    return [name, f"{count - failures:,} of {count:,}", f"{100 * (1 - failures / count):.2f} %"]


def _write(folder: Path, splits: dict[str, list[Example]]) -> list[str]:
    """One file for each split, one example a line. Raises BadInput rather than write over anything."""
    import json

    from glassbox.workspace import atomic

    files = {folder / f"{name}.jsonl": examples for name, examples in splits.items()}
    for file in files:
        if file.exists():
            raise BadInput(f"{file} is there already.", "Choose another folder, or move the file away.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, examples in files.items():
            lines = (json.dumps({"text": example.text, "answer": example.answer}) + "\n" for example in examples)
            atomic.write_file(file, "".join(lines).encode())
    except OSError as error:
        raise BadInput(
            f"The examples cannot be written into {folder}: {error.strerror}.",
            "Choose another folder, or free some space there.",
        ) from error
    return [str(file) for file in files]
