"""`glassbox accounts`: the people of a workshop for many, from the machine where it runs.

Passwords are asked for, or read as the first line of standard input: never given as an argument, which every process of
the machine could read.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glassbox.cli.numbers import age
from glassbox.cli.options import JsonOption, WorkspaceOption
from glassbox.cli.output import print_json, say, standard_error, standard_output
from glassbox.cli.tables import listing
from glassbox.cli.workshop import DatabaseOption, open_database
from glassbox.errors import BadInput
from glassbox.workshop.accounts.actor import Role

if TYPE_CHECKING:
    from glassbox.workshop.accounts.users import User, Users

commands = typer.Typer(no_args_is_help=True, help="Add people to a workshop, and say what they may do.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Whom it is about.")]
RoleOption = Annotated[
    Role,
    typer.Option(
        help="member: their own things, and what is shared. educator: sees everything. owner: does everything."
    ),
]


@commands.command("add")
def add(
    name: NameArgument, role: RoleOption = "member", database: DatabaseOption = None, workspace: WorkspaceOption = None
) -> None:
    """A new account; the password is asked for, or read from standard input."""
    from glassbox.workshop.accounts.passwords import check_password, hash_password

    with _users(database, workspace) as users:
        password = _password(name)
        check_password(password, name)
        user = users.add(name, role, hash_password(password))
    say(f"{user.name} can log in now, as {user.role}.")


@commands.command("list")
def list_accounts(
    as_json: JsonOption = False, database: DatabaseOption = None, workspace: WorkspaceOption = None
) -> None:
    """Everyone with an account, by name."""
    from glassbox.workshop.accounts.users import LOCAL_USER

    with _users(database, workspace) as users:
        found = [user for user in users.list() if user.id != LOCAL_USER]
    if as_json:
        print_json({"accounts": [_facts(user) for user in found]})
        return
    if not found:
        standard_error().print("No accounts yet. The first: glassbox accounts add NAME --role owner", style="dim")
        return
    rows = [(user.name, user.role, _state(user), age(datetime.fromtimestamp(user.created, UTC))) for user in found]
    standard_output().print(listing(("name", "role", "state", "age"), rows, numeric=("age",)))


@commands.command("password")
def password(name: NameArgument, database: DatabaseOption = None, workspace: WorkspaceOption = None) -> None:
    """A new password for someone. Ends every session and key of theirs."""
    from glassbox.workshop.accounts.passwords import check_password, hash_password

    with _users(database, workspace) as users:
        user = _named(users, name)
        chosen = _password(user.name)
        check_password(chosen, user.name)
        users.set_password(user.id, hash_password(chosen))
    say(f"{user.name} logs in with the new password from now on.")


@commands.command("role")
def role(
    name: NameArgument,
    role: Annotated[Role, typer.Argument(help="What they may do from now on.")],
    database: DatabaseOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Change what someone may do."""
    with _users(database, workspace) as users:
        user = users.set_role(_named(users, name).id, role)
    say(f"{user.name} is {user.role} now.")


@commands.command("disable")
def disable(name: NameArgument, database: DatabaseOption = None, workspace: WorkspaceOption = None) -> None:
    """Shut someone out, and end all that is open. What they made stays."""
    with _users(database, workspace) as users:
        user = users.disable(_named(users, name).id)
    say(f"{user.name} is shut out. Let in again: glassbox accounts enable {user.name}")


@commands.command("enable")
def enable(name: NameArgument, database: DatabaseOption = None, workspace: WorkspaceOption = None) -> None:
    """Let someone in again who was shut out."""
    with _users(database, workspace) as users:
        user = users.enable(_named(users, name).id)
    say(f"{user.name} can log in again.")


@contextmanager
def _users(database: str | None, workspace: Path | None) -> Generator[Users]:
    """Raises BadInput for what a workshop would answer with a problem."""
    from glassbox.workshop.accounts.users import Users
    from glassbox.workshop.problems import Problem

    with open_database(database, workspace) as opened:
        try:
            yield Users(opened)
        except Problem as problem:
            raise BadInput(problem.detail, problem.remedy) from problem


def _named(users: Users, name: str) -> User:
    from glassbox.workspace.names import shown

    user = users.named(name)
    if user is None:
        raise BadInput(f"There is no account called {shown(name)}.", "See who there is: glassbox accounts list.")
    return user


def _password(name: str) -> str:
    if sys.stdin.isatty():
        return typer.prompt(f"Password for {name}", hide_input=True, confirmation_prompt=True, err=True)
    line = sys.stdin.readline()
    if not line:
        raise BadInput("A password was expected on standard input, and nothing came.", "Write it there, as one line.")
    return line.rstrip("\r\n")


def _state(user: User) -> str:
    if user.disabled is not None:
        return "shut out"
    return "" if user.has_password else "invited"


def _facts(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "name": user.name,
        "role": user.role,
        "created": datetime.fromtimestamp(user.created, UTC).isoformat(),
        "disabled": user.disabled is not None,
        "has_password": user.has_password,
    }
