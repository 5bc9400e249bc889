"""`glassbox spec`, as a person and as a script meet it."""

from __future__ import annotations

from pathlib import Path

import pytest

from glassbox.evaluation import training_time
from glassbox.pictures.saving import has_font
from glassbox.spec import count_parameters, preset

NEEDS_FONT = pytest.mark.skipif(not has_font(), reason="this machine has no font to write with")

PRICES = """
[machines.{name}]
currency = "EUR"
hour = 3
{flops}
date = 2026-01-31
source = "an example"
"""


def rows(text: str) -> dict[str, list[str]]:
    """The lines of a table by their first words, which two blanks end."""
    return {line.strip().split("  ")[0]: line.split() for line in text.splitlines() if line.strip()}


def test_descriptions_lie_side_by_side(glassbox):
    shown = glassbox("spec", "compare", "gpt2-small", "llama3-70b")
    assert shown.code == 0, shown.err
    total = [f"{count_parameters(preset(name)).total:,}" for name in ("gpt2-small", "llama3-70b")]
    assert rows(shown.out)["parameters"][1:] == total
    assert rows(shown.out)["norm"] == ["norm", "layer", "rms"]
    assert "time of the training" not in shown.out


def test_a_script_gets_every_number(glassbox):
    found = glassbox("spec", "compare", "gpt2-small", "mixtral-8x7b", "--batch", "2", "--context", "64", "--json").json
    mixtral = found["models"]["mixtral-8x7b"]
    assert mixtral["parameters"]["active"] < mixtral["parameters"]["total"]
    assert mixtral["seconds"] is None
    assert found["differences"]["layers"] == {"gpt2-small": 12, "mixtral-8x7b": 32}


def test_the_time_of_training_is_predicted_from_steps_taken_here(glassbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(training_time, "MEASURING", 0.0)
    shown = glassbox("spec", "compare", "microgpt", "--time", "--tokens", "1e6")
    assert shown.code == 0, shown.err
    assert "time of the training" in shown.out
    assert "measured here" in shown.out
    found = glassbox("spec", "compare", "microgpt", "--time", "--tokens", "1e6", "--json").json["models"]["microgpt"]
    assert found["seconds"] == pytest.approx(found["training_flops"] / found["pace"]["flops"])


def test_a_machine_with_a_price_gives_time_and_cost(glassbox, own_workspace: Path):
    refused = glassbox("spec", "compare", "gpt2-small", "--machine", "desk")
    assert refused.code == 2
    assert "prices.toml" in refused.err
    (own_workspace / "prices.toml").write_text(PRICES.format(name="desk", flops="flops = 1e12"))
    found = glassbox("spec", "compare", "gpt2-small", "--machine", "desk", "--tokens", "1e9", "--json").json
    one = found["models"]["gpt2-small"]
    assert one["seconds"] == pytest.approx(one["training_flops"] / 1e12)
    assert one["cost"] == f"{one['seconds'] / 3600 * 3:,.2f} EUR"
    shown = glassbox("spec", "compare", "gpt2-small", "--machine", "desk", "--tokens", "1e9")
    assert "priced as of 2026-01-31 by an example" in shown.out


def test_a_machine_without_flops_is_priced_by_the_time_measured_here(
    glassbox, own_workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(training_time, "MEASURING", 0.0)
    own_workspace.mkdir()
    (own_workspace / "prices.toml").write_text(PRICES.format(name="desk", flops=""))
    one = glassbox("spec", "compare", "microgpt", "--machine", "desk", "--json").json["models"]["microgpt"]
    assert one["pace"]["flops"] > 0
    assert one["cost"].endswith("EUR")


def test_descriptions_of_ones_own_are_saved_listed_used_and_deleted(glassbox):
    saved = glassbox("spec", "save", "mine", "gpt2-small", "--set", "layers=3", "--set", "activation=relu")
    assert saved.code == 0, saved.err
    assert glassbox("spec", "list", "--json").json["mine"]["about"] == "your own"
    assert rows(glassbox("spec", "compare", "mine", "gpt2-small").out)["layers"] == ["layers", "3", "12"]
    assert "relu" in glassbox("spec", "show", "mine").out
    assert glassbox("spec", "count", "mine").code == 0
    again = glassbox("spec", "save", "mine", "gpt2-small")
    assert again.code == 2
    assert "--replace" in again.err
    assert glassbox("spec", "save", "mine", "gpt2-small", "--replace").code == 0
    assert glassbox("spec", "delete", "mine").code == 0
    assert "mine" not in glassbox("spec", "list", "--json").json


def test_a_damaged_description_doesnt_hide_the_others(glassbox, own_workspace: Path):
    assert glassbox("spec", "save", "mine", "gpt2-small").code == 0
    (own_workspace / "specs" / "torn.json").write_text('{"layers": ')
    listed = glassbox("spec", "list", "--json")
    assert "mine" in listed.json
    assert "torn" not in listed.json
    assert "torn.json" in listed.err
    assert glassbox("spec", "show", "torn").code == 2


@pytest.mark.parametrize("ending", ["svg", pytest.param("png", marks=NEEDS_FONT), "html"])
def test_pictures_of_descriptions_can_be_saved(glassbox, tmp_path: Path, ending: str):
    for command in (("show", "gpt2-small"), ("compare", "gpt2-small", "microgpt")):
        file = tmp_path / f"{command[0]}.{ending}"
        assert glassbox("spec", *command, "--save", str(file), "--theme", "light").code == 0
        assert file.stat().st_size > 1_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compare", "gpt2-smal"), "gpt2-small"),
        (("compare", "gpt2-small", "--format", "int3"), "bfloat16"),
        (("compare", "gpt2-small", "--optimizer", "lion"), "muon"),
        (("compare", "gpt2-small", "--context", "4096"), "4096"),
        (("save", "gpt2-small", "microgpt"), "is a preset"),
        (("save", "mine", "gpt2-small", "--set", "layer=3"), "layers"),
        (("save", "mine", "gpt2-small", "--set", "layers=0"), "layers"),
        (("save", "../mine", "gpt2-small"), "a-z"),
        (("delete", "mine"), "mine"),
        (("show", "gpt2-small", "--save", "x.gif"), ".svg"),
    ],
)
def test_what_cannot_be_done_ends_with_two_sentences(glassbox, arguments: tuple[str, ...], said: str):
    shown = glassbox("spec", *arguments)
    assert shown.code == 2
    assert shown.out == ""
    assert said in " ".join(shown.err.split())
