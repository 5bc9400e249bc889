"""`glassbox serve-model`: one model behind the OpenAI API."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glassbox.cli.options import JsonOption, WorkspaceOption
from glassbox.cli.output import print_json, say, standard_output

if TYPE_CHECKING:
    from glassbox.serving.served_model import ServedModel

KEY_VARIABLE = "GLASSBOX_SERVING_KEY"


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="NAME[:VERSION] of a model, or its folder.")],
    host: Annotated[str, typer.Option(help="Where to listen. Any other than this machine needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
    rows: Annotated[int, typer.Option(min=1, max=1024, help="Answers that are written side by side.")] = 16,
    key: Annotated[
        str | None,
        typer.Option(
            help=f"What requests must bear. ${KEY_VARIABLE} says it without showing it to others on this machine.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What requests call the model.", show_default="its own name")] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write port and process id here once requests are answered.", show_default=False
        ),
    ] = None,
    end_with_stdin: Annotated[
        bool, typer.Option("--end-with-stdin", help="End when standard input does: with the process that started it.")
    ] = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Serve a model over HTTP: chat, completions and embeddings as OpenAI's API has them, and what it computes."""
    from glassbox.serving.server import ServerSettings, serve

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    def ready(served: ServedModel, address: str) -> None:
        if as_json:
            print_json({"model": served.id, "address": address, "pid": os.getpid()})
            return
        standard_output().print(f"{served.id} answers at {address}/v1", markup=False)
        if served.card.chat_template == "plain":
            say("It was never taught to chat: messages are written down plainly, and it continues them.")

    serve(
        ServerSettings(
            model=model,
            host=host,
            port=port,
            rows=rows,
            key=key or os.environ.get(KEY_VARIABLE) or None,
            name=name,
            workspace=workspace,
            ready_file=ready_file,
            end_with_stdin=end_with_stdin,
        ),
        ready,
    )
