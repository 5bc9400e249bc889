"""The help of a stage's command: a stage may have fifty settings with long names, which no table of columns holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

if TYPE_CHECKING:
    from rich.console import Console

_WIDEST = 100


class StageCommand(TyperCommand):
    """Each option on a line of its own, what it means below it; inputs first, then settings, then the rest."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False, emoji=False)
        console.width = min(console.width, _WIDEST)
        console.print(Text.assemble(("usage  ", "dim"), f"{ctx.command_path} [OPTIONS]\n"))
        console.print(Text.from_markup(self.help or ""))
        groups: dict[str, list[Any]] = {"Inputs": [], "Settings": [], "Every command": []}
        for option in self.get_params(ctx):
            groups.setdefault(getattr(option, "rich_help_panel", None) or "Every command", []).append(option)
        for title, options in groups.items():
            if options:
                console.print(Text(f"\n{title}", style="dim"))
                for option in options:
                    _print_option(console, option)


def _print_option(console: Console, option: Any) -> None:
    from rich.padding import Padding
    from rich.text import Text

    flags = " / ".join([*option.opts, *option.secondary_opts])
    metavar = "" if option.is_flag or option.metavar is None else f" {option.metavar}"
    console.print(Padding(Text.assemble((flags, "cyan"), (metavar, "dim")), (0, 0, 0, 2)))
    console.print(Padding(Text.from_markup(option.help or ""), (0, 0, 0, 6)))
