"""The command of a stage, made from its file: an option for each input, each setting, and where to work."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from glassbox.cli.options import JsonOption, WorkspaceOption
from glassbox.cli.settings_options import SettingOption, read_settings, setting_options
from glassbox.stages.interface import Slot, Stage

NameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help=r"What to call what is made. \[default: as the first input, or the source]",
        show_default=False,
    ),
]

_RESERVED = {"as_json": JsonOption, "workspace": WorkspaceOption, "name": NameOption}


def stage_command(stage: Stage, run: Callable[..., None] | None = None) -> Callable[..., None]:
    """A function whose signature Typer reads, as if the options had been written by hand.

    run: what to do with the stage and the settings, instead of `stage_run.run_stage`.
    """
    settings = {f"setting_{place}": option for place, option in enumerate(setting_options(stage.settings))}
    slots = {f"input_{place}": (name, slot) for place, (name, slot) in enumerate(stage.takes.items())}
    annotations: dict[str, Any] = {key: _slot_option(name, slot, stage) for key, (name, slot) in slots.items()}
    annotations |= {key: _setting_option(option) for key, option in settings.items()}
    annotations |= {key: option for key, option in _RESERVED.items() if key != "name" or stage.makes}
    _refuse_clashes(stage, [option.flag for option in settings.values()])

    def command(**values: Any) -> None:
        from glassbox.cli.stage_run import run_stage

        given = {settings[key].path: value for key, value in values.items() if key in settings and value is not None}
        (run or run_stage)(
            stage,
            read_settings(stage.settings, given, f"glassbox {stage.name}"),
            inputs={slots[key][0]: value for key, value in values.items() if key in slots and value is not None},
            name=values.get("name"),
            workspace=values["workspace"],
            as_json=values["as_json"],
        )

    return _with_options(command, stage.name, escape(_unwrapped(stage.description)), annotations)


def _with_options(
    command: Callable[..., None], name: str, description: str, annotations: Mapping[str, Any]
) -> Callable[..., None]:
    """Give a function that takes keywords the signature that Typer shall see."""
    parameters = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=_default(key))
        for key, annotation in annotations.items()
    ]
    command.__name__ = name
    command.__doc__ = description
    command.__annotations__ = dict(annotations)
    command.__signature__ = inspect.Signature(parameters)  # Typer reads it there
    return command


def _unwrapped(text: str) -> str:
    """Paragraphs as one line each, for the terminal to wrap."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _default(key: str) -> Any:
    return False if key == "as_json" else None


def _slot_option(name: str, slot: Slot, stage: Stage) -> Any:
    if not slot.required:
        default = "none"
    else:
        default = "the newest" if len(stage.takes) == 1 else "what the others were made from, else the newest"
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        metavar="NAME[:VERSION]",
        help=escape(f"{_capitalised(slot.description)}. [default: {default}]"),
        show_default=False,
        rich_help_panel="Inputs",
    )
    return Annotated[str | None, option]


def _setting_option(option: SettingOption) -> Any:
    kind = bool | None if option.is_switch else list[str] | None if option.is_repeated else str | None
    return Annotated[
        kind,
        typer.Option(
            option.declaration,
            metavar=option.metavar,
            help=escape(option.help),
            show_default=False,
            rich_help_panel="Settings",
        ),
    ]


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".")


def _refuse_clashes(stage: Stage, flags: list[str]) -> None:
    taken = ["--json", "--workspace", "--help", *(f"--{slot.replace('_', '-')}" for slot in stage.takes)]
    taken += ["--name"] if stage.makes else []
    if twice := sorted({flag for flag in flags if flag in taken or flags.count(flag) > 1}):
        raise ValueError(f"the settings of {stage.name} need other names: {', '.join(twice)} is an option already")
