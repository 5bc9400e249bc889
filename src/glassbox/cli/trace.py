"""`glassbox trace`: look into a model while it reads a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from glassbox.cli.options import JsonOption, WorkspaceOption
from glassbox.cli.output import print_json, say
from glassbox.cli.pictures import SaveOption, ThemeOption, check_picture, show, write
from glassbox.errors import BadInput
from glassbox.pictures.figure import shortened
from glassbox.workspace import Workspace
from glassbox.workspace.names import shown

if TYPE_CHECKING:
    from glassbox.insight import Reader

LONGEST_TITLE = 80
ViewName = Literal["predictions", "attention", "heads", "lens", "stream", "operations", "attribution", "patching"]
Ablation = Literal["zero", "mean"]
ViewOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="VIEW",
        help="predictions: what was expected and what came; attention: who looks at whom; heads: what each head "
        "does and whether it matters; lens: what each block would say; stream: how large the residual stream is; "
        "operations: every value in order of computation; "
        "attribution: which part says how much; patching: which place carries the difference of two texts. "
        r"Several times for several. \[default: predictions, unless names are given]",
        show_default=False,
    ),
]


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="NAME[:VERSION] of a model, or its folder.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What the model reads.")],
    view: ViewOption = None,
    names: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Values to show, such as blocks.*.attention.output.", show_default=False),
    ] = None,
    gradients: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Values to show the gradient of the loss by.", show_default=False),
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="Of attention: only this layer, from 0.", show_default="all")
    ] = None,
    head: Annotated[int | None, typer.Option(help="Of attention: only this head, from 0.", show_default="all")] = None,
    ablation: Annotated[str, typer.Option(help="Of heads: silence them by zero or by their mean.")] = "zero",
    corrupted: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Of patching: the other text.", show_default=False)
    ] = None,
    value: Annotated[
        str, typer.Option(help="Of patching: residual, attention.output, attention.mixed, feedforward.output, …")
    ] = "residual",
    answer: Annotated[
        str | None,
        typer.Option(help="Of patching: the token of the right answer.", show_default="what TEXT is continued with"),
    ] = None,
    foil: Annotated[
        str | None, typer.Option(help="Of patching: the token of the wrong one.", show_default="that of the other text")
    ] = None,
    save: SaveOption = None,
    theme: ThemeOption = "dark",
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Look into a model while it reads a text: what it expects, where its heads look, what each part says."""
    check_picture(save, theme)
    chosen = list(view or ([] if names or gradients else ["predictions"]))
    _check_words(chosen, get_args(ViewName), "view")
    _check_words([ablation], get_args(Ablation), "ablation")

    from glassbox.cli.trace_views import VIEWS, Wishes, values
    from glassbox.insight import Reader

    reader = Reader.load(_folder(model, workspace))
    silence = "mean" if ablation == "mean" else "zero"
    wishes = Wishes(layer, head, corrupted, value, answer, foil, silence)
    views = {name: VIEWS[name](reader, text, wishes) for name in chosen}
    if names or gradients:
        views["values"] = values(reader, text, names or [], gradients or [])
    figures = [figure for seen in views.values() for figure in seen.figures]
    write(figures, save, theme, title=shortened(f"{model}: {text}", LONGEST_TITLE))
    if as_json:
        print_json({"model": model, "tokens": _read(reader, text), **{name: views[name].numbers for name in views}})
    else:
        show(figures, theme)
        if "attention" in chosen and layer is None and head is None:
            say("--layer and --head show a head with its numbers")


def _read(reader: Reader, text: str) -> list[dict[str, object]]:
    """The tokens that the model reads."""
    tokens = reader.tokens(text)
    return [{"id": id, "text": piece} for id, piece in zip(tokens[0].tolist(), reader.pieces(tokens), strict=True)]


def _folder(model: str, workspace: Path | None) -> Path:
    """Of an artifact by its name, or of a model that lies anywhere."""
    if "/" in model or model in (".", ".."):
        return Path(model)
    return Workspace(workspace).artifacts.get("model", model).folder


def _check_words(given: list[str], known: tuple[str, ...], what: str) -> None:
    for word in given:
        if word not in known:
            raise BadInput(f"There is no {what} called {shown(word)}.", f"Choose of {', '.join(known)}.")
