"""`glassbox tokenizer`: see how text becomes tokens, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glassbox.cli.options import JsonOption, WorkspaceOption
from glassbox.cli.output import print_json
from glassbox.cli.pictures import SaveOption, ThemeOption, check_picture, show, write
from glassbox.errors import BadInput
from glassbox.workspace import Workspace
from glassbox.workspace.names import shown

if TYPE_CHECKING:
    from glassbox.tokenizers import Tokenizer

commands = typer.Typer(no_args_is_help=True, help="See how text becomes tokens; measure, compare and price that.")

TokenizerArgument = Annotated[
    str, typer.Argument(metavar="TOKENIZER", help="NAME[:VERSION] of a tokenizer, or a folder with one, or a model's.")
]
FileOption = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="Read the text from a file.", show_default=False)
]
TextOption = Annotated[str | None, typer.Option("--text", metavar="TEXT", help="The text.", show_default=False)]


@commands.command("inspect")
def inspect(
    tokenizer: TokenizerArgument,
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What is encoded.", show_default=False)] = None,
    file: FileOption = None,
    special: Annotated[bool, typer.Option("--special", help="Let the spelling of special tokens become them.")] = False,
    merges: Annotated[bool, typer.Option("--merges", help="Show merge by merge how each word becomes tokens.")] = False,
    save: SaveOption = None,
    theme: ThemeOption = "dark",
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Each token of a text: its id, bytes and place; with --merges how it came about."""
    check_picture(save, theme)
    from glassbox.cli import tokenizer_views
    from glassbox.tokenizers.inspection import inspect

    seen = inspect(load(tokenizer, workspace), given_text(text, file), allow_special=special)
    figures = tokenizer_views.inspection(seen, merges=merges)
    write(figures, save, theme, title=f"{tokenizer}: {len(seen.tokens):,} tokens")
    if as_json:
        print_json({"tokenizer": tokenizer, **tokenizer_views.inspection_numbers(seen)})
    else:
        show(figures, theme)


@commands.command("statistics")
def statistics(
    tokenizer: TokenizerArgument,
    corpus: Annotated[
        str | None,
        typer.Argument(metavar="[CORPUS]", help="NAME[:VERSION] of a corpus.", show_default="the newest"),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="documents, train, validation or test.", show_default="the first it has")
    ] = None,
    by: Annotated[
        str, typer.Option(help="What documents are grouped by: source, folder (of the source) or first-part.")
    ] = "folder",
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", metavar="FILE", help="Measure text files instead of a corpus.", show_default=False),
    ] = None,
    save: SaveOption = None,
    theme: ThemeOption = "dark",
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Compression, fertility, unknown characters, lengths and unused ids over a corpus, in all and by source."""
    check_picture(save, theme)
    from glassbox.cli import tokenizer_views
    from glassbox.tokenizers.statistics import GROUPS, measure

    if by not in GROUPS:
        raise BadInput(f"Documents can't be grouped by {shown(by)}.", f"Use {', '.join(GROUPS)}.")
    if file and corpus is not None:
        raise BadInput("A corpus and files came.", "Give one of the two.")
    loaded = load(tokenizer, workspace)
    name, documents = _documents(corpus, split, file, workspace)
    found = measure(loaded, documents, group=GROUPS[by])
    figures = tokenizer_views.statistics(found, loaded)
    write(figures, save, theme, title=f"{tokenizer} on {name}")
    if as_json:
        print_json({"tokenizer": tokenizer, "corpus": name, **tokenizer_views.statistics_numbers(found)})
    else:
        show(figures, theme)


@commands.command("compare")
def compare(
    tokenizers: Annotated[
        list[str], typer.Argument(metavar="TOKENIZER...", help="NAME[:VERSION]s of tokenizers, or folders.")
    ],
    text: TextOption = None,
    file: FileOption = None,
    save: SaveOption = None,
    theme: ThemeOption = "dark",
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """The same text in several tokenizers, side by side."""
    check_picture(save, theme)
    from glassbox.cli import tokenizer_views
    from glassbox.tokenizers.comparison import compare

    text = given_text(text, file)
    found = compare({name: load(name, workspace) for name in tokenizers}, text)
    figures = tokenizer_views.comparison(found, text)
    write(figures, save, theme, title="Tokenizers on the same text")
    if as_json:
        print_json({"bytes": len(text.encode()), "tokenizers": tokenizer_views.comparison_numbers(found)})
    else:
        show(figures, theme)


@commands.command("cost")
def cost(
    tokenizer: TokenizerArgument,
    text: TextOption = None,
    file: FileOption = None,
    price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="An entry of the price table; several times for several.", show_default="all"
        ),
    ] = None,
    output_tokens: Annotated[int, typer.Option(min=0, help="Tokens that are written in answer.")] = 0,
    repeats: Annotated[int, typer.Option(min=1, help="How often.")] = 1,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """What reading a text costs: its tokens times the prices in the workspace's prices.toml, which you fill."""
    from glassbox.cli import tokenizer_views
    from glassbox.tokenizers.cost import token_cost
    from glassbox.workspace.prices import Prices

    prices = Prices.load(Workspace(workspace).folder)
    if not prices.tokens:
        raise BadInput(
            "The price table has no prices of tokens yet.", f"Enter some in {prices.file}, whose first lines show how."
        )
    tokens = len(load(tokenizer, workspace).encode(given_text(text, file)))
    chosen = {name: prices.of_tokens(name) for name in price or prices.tokens}
    costs = {
        name: token_cost(entry, input_tokens=tokens, output_tokens=output_tokens, repeats=repeats)
        for name, entry in chosen.items()
    }
    if as_json:
        print_json(tokenizer_views.cost_numbers(tokens, output_tokens, repeats, chosen, costs))
    else:
        show([tokenizer_views.costs(tokens, output_tokens, repeats, chosen, costs)], "dark")


def load(name: str, workspace: Path | None) -> Tokenizer:
    """A tokenizer by its artifact's name, or from a folder that holds one itself or in `tokenizer/`."""
    from glassbox.tokenizers import load

    if "/" not in name and name not in (".", ".."):
        return load(Workspace(workspace).artifacts.get("tokenizer", name).folder)
    folder = Path(name)
    return load(folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder)


def given_text(text: str | None, file: Path | None) -> str:
    """What was typed, or what is in the file. Raises BadInput unless there is one of the two, and it is a text."""
    if (text is None) == (file is None):
        raise BadInput(
            "A text is needed, and " + ("none came." if text is None else "a text and a file came."),
            "Give the text, or its file with --file.",
        )
    return text if text is not None else _read(file or Path())


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{file} can't be read: {error.strerror}.", "Check the path and its permissions.") from None
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{file} isn't UTF-8 text: byte {error.start:,} is {error.object[error.start]:#04x}.",
            "Convert it to UTF-8, or choose another file.",
        ) from None


def _documents(
    corpus: str | None, split: str | None, files: list[Path] | None, workspace: Path | None
) -> tuple[str, Iterator[tuple[str, str]]]:
    """What is measured, and its documents as (text, source)."""
    if files:
        texts = [(_read(file), str(file)) for file in files]
        return ", ".join(map(str, files)), iter(texts)
    from glassbox.data.corpus import read_documents, split_names

    artifacts = Workspace(workspace).artifacts
    found = artifacts.newest("corpus") if corpus is None else artifacts.get("corpus", corpus)
    if found is None:
        raise BadInput("The workspace holds no corpus.", "Make one with glassbox collect, or give files with --file.")
    chosen = split or next(iter(split_names(found.folder)), "documents")
    return f"{found.reference}, {chosen}", read_documents(found.folder, chosen)
