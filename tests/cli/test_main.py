"""The command itself: its help, its speed of start, its way out."""

from __future__ import annotations

import subprocess
import sys

import pytest

import glassbox as package
from glassbox.cli.main import COMMANDS, GROUPS


def test_the_help_lists_every_stage_and_every_group(glassbox):
    shown = glassbox("--help").out
    for name in ("collect", "split", "tokenize", "evaluate", "rehearse", *GROUPS, *COMMANDS):
        assert f" {name} " in shown
    assert glassbox().out == shown


@pytest.mark.parametrize("name", [*GROUPS])
def test_the_summary_of_a_group_is_what_its_own_help_says(glassbox, name):
    assert GROUPS[name][1] in " ".join(glassbox(name, "--help").out.split())


def test_the_version_is_the_packages(glassbox):
    assert glassbox("--version").out.strip() == package.__version__


@pytest.mark.parametrize("arguments", [["--help"], ["runs", "list"], ["artifacts", "--help"]])
def test_what_needs_no_tensors_imports_none(arguments):
    code = (
        "import sys; from glassbox.cli.main import run; run(sys.argv[1:]);"
        "print([name for name in ('torch', 'pyarrow', 'tokenizers') if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert result.stderr.splitlines()[-1] == "[]"


def test_help_needs_no_database():
    code = (
        "import sys; from glassbox.cli.main import run; run(['collect', '--help']);"
        "assert 'sqlalchemy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_module_is_the_command():
    result = subprocess.run([sys.executable, "-m", "glassbox", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == package.__version__


def test_a_typo_ends_with_two_sentences_and_exit_code_two():
    result = subprocess.run([sys.executable, "-m", "glassbox", "tokenise"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "tokenize" in result.stderr
    assert "→" in result.stderr


def test_a_reader_that_closes_early_is_no_error(start_glassbox, publish):
    for number in range(3):
        publish("corpus", f"plays{number}")
    listing = start_glassbox("artifacts", "list", "--json")
    listing.stdout.close()
    assert listing.wait(30) in (0, 1)
    assert "Traceback" not in listing.stderr.read()
