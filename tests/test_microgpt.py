"""microgpt: the plain file's known run, and the same run in every engine."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from glassbox import microgpt
from glassbox.cli.main import run as glassbox
from glassbox.engines.catalogue import ENGINES
from glassbox.training.microgpt import Sizes, read_names, run

# Karpathy's names.txt, seed 42: what the algorithm is known to give there.
KNOWN_LOSSES = {1: 3.3660, 2: 3.4243, 3: 3.1778, 4: 3.0664, 5: 3.2209, 1000: 2.6497}
KNOWN_SAMPLES = ["kamon", "ann", "karai", "jaire", "vialan"]

FILE = Path(microgpt.__file__)
NAMES = ["emma", "olivia", "ava", "isabella", "sophia", "mia", "charlotte", "amelia", "harper", "a-very-long-name-this"]


@pytest.fixture
def names_file(tmp_path: Path) -> Path:
    file = tmp_path / "names.txt"
    file.write_text("\n".join(NAMES), encoding="utf-8")
    return file


def by_itself(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The file as a program of its own, which finds no package to import."""
    command = [sys.executable, "-I", str(FILE), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def quietly(line: str) -> None:
    pass


@functools.cache
def plain_run(sizes: Sizes) -> dict[str, Any]:
    """What the file gives for `NAMES`."""
    return microgpt.run(NAMES, **asdict(sizes), report=quietly)


def assert_same_run(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-9)
    assert found["samples"] == expected["samples"]


@pytest.mark.slow
def test_a_thousand_steps_on_names_give_the_known_losses_and_names(test_data: Path):
    names = read_names(test_data / "names.txt")
    found = run(names, Sizes(samples=20), "arrays", quietly)
    assert len(found["losses"]) == 1000
    assert len(found["samples"]) == 20
    for step, loss in KNOWN_LOSSES.items():
        assert round(found["losses"][step - 1], 4) == loss
    assert found["samples"][:5] == KNOWN_SAMPLES


@pytest.mark.slow
def test_the_first_forty_steps_on_names_are_the_plain_files_in_every_engine(test_data: Path):
    alone = by_itself("--names", test_data / "names.txt", "--steps", 40, "--samples", 2, "--json")
    expected = json.loads(alone.stdout)
    assert round(expected["losses"][0], 4) == KNOWN_LOSSES[1]
    for name in ("arrays", "lists", "tensors"):
        found = run(read_names(test_data / "names.txt"), Sizes(steps=40, samples=2), name, quietly)
        assert_same_run(found, expected)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("seed", [7, 2026])
def test_two_layers_and_another_seed_give_the_plain_files_run_in_every_engine(name: str, seed: int):
    sizes = Sizes(seed, steps=4, layers=2, width=12, heads=3, context=9, samples=4)
    assert_same_run(run(NAMES, sizes, name, quietly), plain_run(sizes))


def test_any_letters_can_be_names_letters():
    names = ["Zoë", "王小明", "o'neil", "🙂"]
    expected = microgpt.run(names, steps=3, samples=3, report=quietly)
    assert_same_run(run(names, Sizes(steps=3, samples=3), "arrays", quietly), expected)


def test_the_file_alone_gives_what_the_command_gives(names_file: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--names", names_file, "--seed", 3, "--steps", 2, "--samples", 2, "--width", 8, "--json"]
    alone = by_itself(*options)
    assert alone.returncode == 0, alone.stderr
    assert glassbox(["microgpt", *map(str, options)]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(alone.stdout)


def test_the_command_tells_as_it_goes_what_the_file_tells(names_file: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--names", str(names_file), "--steps", "2", "--samples", "1"]
    alone = by_itself(*options).stdout
    for name in ("plain", "lists"):
        assert glassbox(["microgpt", "--engine", name, *options]) == 0
        assert capsys.readouterr().out == alone


def test_the_command_reads_the_names_that_come_with_the_package(capsys: pytest.CaptureFixture[str]):
    assert glassbox(["microgpt", "--engine", "arrays", "--steps", "1", "--samples", "0"]) == 0
    assert "4,192 parameters" in capsys.readouterr().out


def test_the_file_imports_nothing_but_the_standard_library():
    code = (
        f"import runpy, sys; runpy.run_path({str(FILE)!r}); print(sorted(set(sys.modules) & {{'numpy', 'glassbox'}}))"
    )
    result = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


CONTENTS = {"empty": b"", "blank": b" \n\n\t\n", "binary": b"\x89PNG\r\n\x1a\n\x00\x80", "zeros": b"\x00" * 100}


@pytest.mark.parametrize("content", CONTENTS)
def test_a_file_without_names_ends_with_a_sentence_and_exit_code_two(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "names.txt"
    file.write_bytes(CONTENTS[content])
    assert_refused(["--names", str(file)], "one name a line", capsys)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--names", "nowhere.txt"], "nowhere.txt"),
        (["--names", "."], "cannot be read"),
        (["--width", "10", "--heads", "4"], "4 heads"),
        (["--steps", "0"], "steps"),
        (["--heads", "0"], "heads"),
        (["--samples", "-1"], "samples"),
        (["--steps", "many"], "--steps"),
    ],
)
def test_options_that_make_no_sense_end_with_a_sentence_and_exit_code_two(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    assert_refused(options, said, capsys)


def test_an_engine_that_is_none_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]):
    assert glassbox(["microgpt", "--engine", "tensor"]) == 2
    told = capsys.readouterr().err
    assert all(name in told for name in ("plain", *ENGINES))


def assert_refused(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command with either engine, and by the file alone."""
    for name in ("plain", "arrays"):
        assert glassbox(["microgpt", "--engine", name, *options]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert said in " ".join(captured.err.split())
    alone = by_itself(*options)
    assert alone.returncode == 2
    assert alone.stdout == ""
    assert "Traceback" not in alone.stderr
