"""`glassbox workshop`: the server, and `glassbox workshop-link`: another way in."""

from __future__ import annotations

import functools
import webbrowser
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from glassbox.cli.options import WorkspaceOption
from glassbox.cli.output import standard_error
from glassbox.workspace.workspace import default_folder

if TYPE_CHECKING:
    from glassbox.workshop.accounts.sessions import Sessions
    from glassbox.workshop.accounts.users import Users
    from glassbox.workshop.database import Database
    from glassbox.workshop.state import Workshop

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="GLASSBOX_DATABASE_URL",
        metavar="URL",
        help="PostgreSQL for the workshop's records: postgresql://user:password@host/name.",
        show_default="SQLite, in the workspace",
    ),
]


def command(
    host: Annotated[str, typer.Option(help="The address to listen on; others than 127.0.0.1 need accounts.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any free one.")] = 8000,
    name: Annotated[
        list[str] | None, typer.Option(help="A host name that it is reached under; may be repeated.")
    ] = None,
    people: Annotated[
        Literal["one", "many"], typer.Option(help="one: whoever sits here. many: accounts with passwords.")
    ] = "one",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads for runs.", show_default="as many as there are")
    ] = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs for runs.")] = 0,
    ray: Annotated[
        str | None,
        typer.Option(
            envvar="GLASSBOX_RAY_ADDRESS",
            metavar="URL",
            help="The dashboard of a Ray cluster for runs with the launcher ray, such as http://head:8265.",
            show_default="a cluster of this machine, started when needed",
        ),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="What goes to standard error, as JSON lines.")
    ] = "warning",
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Serve the workshop: every stage, run, artifact and model in the browser and over HTTP."""
    from glassbox.workshop.garbage import making_what_stays

    with making_what_stays():
        from glassbox.workshop.serve import serve
        from glassbox.workshop.settings import WorkshopSettings

    settings = WorkshopSettings(
        workspace=default_folder() if workspace is None else workspace,
        database_url=database,
        host=host,
        port=port,
        names=tuple(name or ()),
        people=people,
        gpus=gpus,
        ray_address=ray,
        **({} if threads is None else {"threads": threads}),
    )

    serve(settings, functools.partial(_welcome, open_browser=open_browser), log_level=log_level)


def _welcome(workshop: Workshop, address: str, *, open_browser: bool) -> None:
    alone = workshop.settings.people == "one"
    way_in = _way_in(workshop.users, workshop.sessions, address) if alone else address
    console = standard_error()
    console.print(f"The workshop of {workshop.workspace.folder} is open at")
    typer.echo(way_in)
    if alone:
        console.print("This address lets one browser in, once. Another one: glassbox workshop-link.", style="dim")
    console.print("Ctrl-C closes it; runs go on.", style="dim")
    if open_browser:
        webbrowser.open(way_in)


def link(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port that the workshop has.")] = 8000,
    host: Annotated[str, typer.Option(help="The address that the workshop has.")] = "127.0.0.1",
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Another address that lets one browser into the workshop of this machine, once."""
    from glassbox.workshop.accounts.sessions import Sessions
    from glassbox.workshop.accounts.users import Users
    from glassbox.workshop.settings import address_of

    with open_database(database, workspace) as opened:
        typer.echo(_way_in(Users(opened), Sessions(opened), address_of(host, port)))


@contextmanager
def open_database(database: str | None, workspace: Path | None) -> Generator[Database]:
    """The records of a workshop. Raises BadInput if they cannot be opened."""
    from glassbox.workshop.database import Database
    from glassbox.workspace import Workspace

    opened = Database(database) if database is not None else Database.in_folder(Workspace(workspace).folder)
    try:
        yield opened
    finally:
        opened.close()


def _way_in(users: Users, sessions: Sessions, address: str) -> str:
    return f"{address}/open?token={sessions.one_time_token(users.local().id)}"
