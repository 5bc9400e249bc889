"""The engine of the guide, running in Node, and the run of microgpt.py that it must equal."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from glassbox import microgpt

GUIDE = Path(__file__).resolve().parents[2] / "guide" / "microgpt.html"
RUNNER = Path(__file__).with_name("run_in_node.mjs")
NAMES = ["emma", "olivia", "ava", "isabella", "sophia", "mia", "charlotte", "amelia", "harper", "a-very-long-name-this"]

Engine = Callable[..., Any]


class RefusedInputError(Exception):
    """The engine raised BadInput."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem, self.remedy = problem, remedy


def whole_number(digits: str) -> int | float:
    """JavaScript writes 3e20 with all its digits: beyond 2^53 they are a float's."""
    return int(digits) if len(digits) < 16 else float(digits)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """`engine(program, **input)` runs the body of a JavaScript function beside the engine and gives what it returns."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("the guide's engine is JavaScript: install Node to test it")
    process = subprocess.Popen([node, RUNNER, GUIDE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    to_node, from_node = process.stdin, process.stdout

    def run(program: str, **given: Any) -> Any:
        to_node.write(json.dumps({"program": program, "input": given}) + "\n")
        to_node.flush()
        line = from_node.readline()
        assert line, "Node has ended; what it said stands above"
        answer = json.loads(line, parse_int=whole_number)
        if "bad" in answer:
            raise RefusedInputError(**answer["bad"])
        assert "failed" not in answer, answer["failed"]
        return answer["result"]

    yield run
    to_node.close()
    process.wait(timeout=30)


@pytest.fixture(scope="session")
def same_c_library() -> None:
    """The last bit of log, exp, pow, sin and cos is that of glibc on x86-64; other C libraries round otherwise."""
    if platform.libc_ver()[0] != "glibc" or platform.machine() != "x86_64":
        pytest.skip("equal to the last bit only where Python uses glibc on x86-64")


@dataclass
class PythonRun:
    """What microgpt.py's own run() did, with its weights before and after."""

    before: list[float]
    after: list[float]
    losses: list[float]
    samples: list[str]


def run_python(names: list[str], **sizes: int) -> PythonRun:
    """Runs microgpt.py and looks at the weights that its optimizer was given."""
    seen: dict[str, Any] = {}

    class WatchedAdam(microgpt.Adam):
        def __init__(self, weights: list[microgpt.Value]) -> None:
            super().__init__(weights)
            seen.update(weights=weights, before=[weight.data for weight in weights])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(microgpt, "Adam", WatchedAdam)
        result = microgpt.run(names, **sizes, report=lambda line: None)
    after = [weight.data for weight in seen["weights"]]
    return PythonRun(seen["before"], after, result["losses"], result["samples"])


@pytest.fixture
def names() -> list[str]:
    return NAMES


@pytest.fixture
def python_run() -> Callable[..., PythonRun]:
    return run_python


@pytest.fixture(scope="session")
def refusal() -> type[RefusedInputError]:
    """What `engine` raises when the engine raises BadInput."""
    return RefusedInputError
