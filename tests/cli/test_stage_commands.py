"""A stage's command comes from its file: options, help, errors, JSON, and the way a run looks."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from glassbox.cli.settings_options import read_settings, setting_options
from glassbox.cli.stage_command import stage_command
from glassbox.errors import BadInput
from glassbox.stages.interface import Slot, Stage, StageSettings
from glassbox.stages.local_paths import InputPath


def test_the_help_says_what_every_setting_is_with_its_bounds_and_default(glassbox):
    result = glassbox("rehearse", "--help")
    text = " ".join(result.out.split())
    assert result.code == 0
    for words in (
        "Rehearse everything a stage can do, without doing anything.",
        "A text with [brackets] and a line break in the middle of a sentence",
        "How many steps. At least 1, at most 1,000,000. [default: 3]",
        "How it ends [of all things]. One of result, bad-input, fault, full-disk, no-json. [default: result]",
        "--loud / --no-loud Whether to log every step. [default: no-loud]",
        "Seconds that a step takes. At least 0, below 60. [default: 0.0]",
        "--shape-width INTEGER How wide. At least 1. [default: 8]",
        "--corpus NAME[:VERSION] A corpus, if there is one. [default: none]",
        "--name",
        "--workspace",
        "--json",
    ):
        assert words in text


def test_with_json_there_is_one_object_on_standard_output_and_nothing_else(glassbox, workspace):
    result = glassbox("rehearse", "--loud", "--steps", "2", "--json", "--name", "mine")
    [run] = workspace.runs.list()
    assert result.code == 0
    assert result.json == {
        "steps": 2,
        "bad": None,
        "run": run.id,
        "state": "finished",
        "outputs": {"report": "mine:1"},
    }
    assert "step 0\nstep 1\nsample:\nTo be, or [not] to be\nmade the report mine:1" in result.err


def test_without_json_the_result_is_a_table(glassbox):
    result = glassbox("rehearse")
    assert result.code == 0
    assert "steps" in result.out
    assert "report rehearse:1" in result.out
    assert "┤" not in result.out  # no plot where nobody looks


def test_options_reach_the_settings(glassbox, workspace):
    arguments = "--steps 2 --pause 1e-3 --ending result --no-loud --limit none --tags a --tags b --shape-width 9"
    assert glassbox("rehearse", *arguments.split(), "--where", "some/path").code == 0
    [entry] = workspace.runs.list()
    assert workspace.runs.get(entry.id).record.settings == {
        "steps": 2,
        "pause": 1e-3,
        "ending": "result",
        "loud": False,
        "limit": None,
        "tags": ["a", "b"],
        "where": str(Path.cwd() / "some/path"),
        "shape": {"width": 9},
    }


def test_inputs_are_named_or_chosen_and_the_choice_is_said(glassbox, workspace, publish):
    publish("corpus", "plays")
    assert glassbox("rehearse", "--corpus", "plays:1", "--json").json["outputs"] == {"report": "plays:1"}
    publish("model", "plays", parents=(publish("shards", "plays"),))
    result = glassbox("evaluate", "--json")
    assert "model: plays:1, the newest model" in result.err
    assert "shards: plays:1, which the model plays:1 was made from" in result.err
    missing = glassbox("rehearse", "--corpus", "poems", "--json")
    assert missing.code == 2
    assert missing.json["error"]["problem"] == "There is no corpus called poems."


@pytest.mark.parametrize(
    ("arguments", "problem", "remedy"),
    [
        ("--steps 0", "--steps takes a number at least 1, and '0' came.", "glassbox rehearse --help"),
        ("--steps x", "--steps takes a whole number, and 'x' came.", "--help"),
        ("--steps 1.5", "--steps takes a whole number, and '1.5' came.", "--help"),
        ("--pause nan", "--pause takes a number", "--help"),
        ("--pause x", "--pause takes a number, and 'x' came.", "--help"),
        ("--shape-width 0", "--shape-width takes a number at least 1, and '0' came.", "--help"),
        ("--ending reslt", "--ending takes one of 'result', 'bad-input',", "Did you mean result?"),
        ("--steps 0 --pause 70", "--pause takes a number below 60, and '70' came.", "--help"),
        ("--stepps 3", "No such option: --stepps", "glassbox rehearse --help"),
        ("--name ../x", "'../x' came", "Try x."),
        ("--ending bad-input", "The rehearsal was meant to fail.", "Choose another ending."),
        ("extra", "extra", "glassbox rehearse --help"),
    ],
)
def test_a_mistake_is_told_in_two_sentences_with_exit_code_two(glassbox, workspace, arguments, problem, remedy):
    plain = glassbox("rehearse", *arguments.split())
    assert plain.code == 2
    assert plain.out == ""
    first, second = plain.err.splitlines()[-2:]
    assert first.startswith("error: ")
    assert problem in first
    assert second.startswith("    → ")
    assert remedy in second
    assert "Traceback" not in plain.err
    error = glassbox("rehearse", *arguments.split(), "--json").json["error"]
    assert problem in error["problem"]
    assert remedy in error["remedy"]
    assert workspace.artifacts.list() == []


def test_a_typo_in_a_command_or_an_option_is_met_with_the_near_one(glassbox):
    assert "'rehearse'" in glassbox("rehearze").err
    assert "--steps" in glassbox("rehearse", "--step", "3").err


def test_a_fault_of_ours_names_the_run_and_its_traceback_with_exit_code_one(glassbox, workspace):
    result = glassbox("rehearse", "--ending", "fault", "--json")
    [run] = workspace.runs.list()
    assert result.code == 1
    assert run.id in result.json["error"]["problem"]
    trace = Path(result.json["error"]["remedy"].split("is in ")[1].split(";")[0])
    assert "a fault of ours" in trace.read_text()
    assert "Traceback" not in result.err


def test_a_fault_outside_any_stage_is_short_too(glassbox, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr("glassbox.cli.stage_run.resolve_inputs", broken)
    result = glassbox("rehearse", "--json")
    assert result.code == 1
    assert "ZeroDivisionError: by nought" in result.json["error"]["problem"]
    monkeypatch.setenv("GLASSBOX_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        glassbox("rehearse")


def test_a_workspace_that_cannot_be_one_is_named(glassbox, tmp_path):
    (tmp_path / "file").write_text("")
    result = glassbox("rehearse", "--workspace", str(tmp_path / "file"), "--json")
    assert result.code == 2
    assert "is a file" in result.json["error"]["problem"]


def test_control_c_saves_and_a_resumed_run_ends_like_any_other(start_glassbox, glassbox, workspace):
    process = start_glassbox("rehearse", "--steps", "8", "--pause", "0.3", "--json")
    wait_for_a_step(workspace)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Ctrl-C again stops at once" in err
    [run] = workspace.runs.list()
    assert f"glassbox runs resume {run.id}" in err
    assert '"state":"interrupted"' in out
    resumed = glassbox("runs", "resume", "--json")
    assert resumed.code == 0
    assert resumed.json["run"] == run.id
    assert resumed.json["state"] == "finished"
    assert resumed.json["steps"] < 8  # what was done before was not done again


def test_kill_minus_nine_leaves_a_run_to_resume(start_glassbox, glassbox, workspace):
    process = start_glassbox("rehearse", "--steps", "5", "--pause", "0.4")
    wait_for_a_step(workspace)
    process.kill()
    process.wait()
    [entry] = glassbox("runs", "list", "--json").json["runs"]
    assert entry["state"] == "interrupted"
    assert glassbox("runs", "resume", entry["id"]).code == 0
    assert workspace.artifacts.get("report", "rehearse").manifest.run == entry["id"]
    events = list(workspace.runs.get(entry["id"]).events)
    assert [event.sequence for event in events] == list(range(len(events)))


def wait_for_a_step(workspace):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if any((workspace.folder / "runs").glob("*/checkpoints/step")):
            return
        time.sleep(0.02)
    raise AssertionError("no step was ever reached")


def test_on_a_terminal_there_is_a_bar_with_the_time_left_and_at_the_end_a_plot(at_a_terminal):
    """A real terminal of eighty columns, since that is what decides about bars, colours and the plot."""
    shown = at_a_terminal("rehearse", "--steps", "30", "--pause", "0.03", columns=80)
    assert "rehearsing" in shown
    assert "of 30 steps" in shown
    assert "left" in shown
    assert "learning rate" in shown
    assert "┤" in shown
    assert "\x1b[31m" in shown  # the loss is red
    plot = [line for line in shown.splitlines() if "┤" in line or line.strip().startswith(("└", "┌"))]
    assert len(plot) >= 5
    assert all(len(strip(line)) <= 80 for line in plot)


def strip(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip("\r\n")


class Wide(StageSettings):
    choice: Literal["a", "b"] | None = Field(default=None, description="A choice.")
    either: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(default="auto", description="A number or auto.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="A seed.")
    needed: str = Field(description="Needed.")
    paths: list[InputPath] = Field(default_factory=list, description="Paths.")
    words: tuple[str, ...] | None = Field(default=None, description="Words. Left out: yes and no.")
    on: bool = Field(default=True, description="A switch.")
    positions: Literal["learned", "none"] | None = Field(default=None, description="None or `none`.")


def test_options_are_read_from_any_kind_of_field():
    options = {option.flag: option for option in setting_options(Wide)}
    assert options["--choice"].metavar == "CHOICE"
    assert options["--choice"].help == "A choice. One of a, b. [default: none]"
    assert options["--either"].metavar == "INTEGER|CHOICE"
    assert options["--seed"].help == "A seed. At least 0, below 2^63. [default: 0]"
    assert options["--needed"].help == "Needed. [required]"
    assert options["--paths"].metavar == "PATH"
    assert options["--paths"].help == "Paths. [default: none]"
    assert options["--words"].help == "Words. Left out: yes and no."  # nobody can type none where words repeat
    assert options["--on"].declaration == "--on/--no-on"
    assert options["--on"].help == "A switch. [default: on]"


def test_values_become_what_the_field_says():
    values = {("either",): "12", ("choice",): "none", ("needed",): "none", ("paths",): ["a", "b"]}
    values |= {("positions",): "none"}
    settings = read_settings(Wide, values, "glassbox x")
    assert (settings.either, settings.choice, settings.needed) == (12, None, "none")
    assert settings.paths == [Path.cwd() / "a", Path.cwd() / "b"]
    assert settings.positions == "none"  # a choice of that name comes before "no value"
    assert read_settings(Wide, {("either",): "auto", ("needed",): "x"}, "glassbox x").either == "auto"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "--needed is needed."),
        ({("needed",): "x", ("seed",): str(2**63)}, "--seed takes a number below 2^63"),
        ({("needed",): "x", ("seed",): "9" * 10_000}, "--seed takes a whole number"),
        ({("needed",): "x", ("either",): "-3"}, "--either"),
        ({("needed",): "x", ("choice",): "\x1b[31m\u202e"}, r"\x1b[31m\u202e"),
    ],
)
def test_a_wrong_value_names_its_option(values, problem):
    with pytest.raises(BadInput) as caught:
        read_settings(Wide, values, "glassbox x")
    assert problem in caught.value.problem
    assert caught.value.problem.isprintable()
    assert len(caught.value.problem) < 500


@pytest.mark.parametrize("name", ["name", "workspace", "help", "corpus"])
def test_a_setting_cannot_take_the_name_of_an_option_that_is_there(name):
    settings = type("Settings", (StageSettings,), {"__annotations__": {name: int}, name: Field(default=1)})
    stage = Stage(
        settings=settings,
        run=lambda settings, context: {},
        takes={"corpus": Slot("corpus", "text")},
        makes={"report": Slot("report", "words")},
    )
    with pytest.raises(ValueError, match=f"--{name} is an option already"):
        stage_command(stage)
