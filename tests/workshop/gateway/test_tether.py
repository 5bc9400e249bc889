"""A model's process ends with the workshop, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from waiting import PATIENCE, until

from glassbox.workshop.gateway import tether

_SLEEP = "import time; time.sleep(600)"


def tethered(script: str, folder: Path = Path("nowhere"), stdout: int | None = None) -> subprocess.Popen[bytes]:
    """A command on a tether, as the workshop starts it."""
    command = [sys.executable, "-m", tether.MODULE, str(folder), sys.executable, "-c", script]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, start_new_session=True)


def child_of(process: subprocess.Popen[bytes]) -> psutil.Process:
    return until(lambda: psutil.Process(process.pid).children(), "it started its command")[0]


@pytest.mark.parametrize(("script", "code"), [("raise SystemExit(7)", 7), ("pass", 0)])
def test_it_ends_with_the_exit_code_of_its_command(script: str, code: int):
    assert tethered(script).wait(PATIENCE) == code


def test_it_tells_which_signal_killed_its_command():
    process = tethered("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert process.wait(PATIENCE) == 128 + signal.SIGKILL


def test_its_command_hears_that_it_shall_end():
    process = tethered("import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); "
                       "print('x', flush=True); time.sleep(600)", stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout is not None
    process.stdout.read(1)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(PATIENCE) == 5


def test_its_command_ends_and_their_folder_goes_when_the_workshop_lets_go(tmp_path: Path):
    folder = tmp_path / "meeting"
    folder.mkdir()
    (folder / "port.json").write_text("{}")
    process = tethered(_SLEEP, folder)
    child = child_of(process)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(PATIENCE)
    until(lambda: not child.is_running(), "the command ended")
    assert not folder.exists()


@pytest.mark.slow
def test_a_command_that_hangs_is_killed_when_the_workshop_was_killed():
    workshop = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            f"sys.argv = {[sys.executable, '-m', tether.MODULE, 'nowhere', sys.executable, '-c', _SLEEP]!r}\n"
            "child = subprocess.Popen(sys.argv, stdin=subprocess.PIPE, start_new_session=True)\n"
            "print(child.pid, flush=True); time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
    )
    assert workshop.stdout is not None
    leader = psutil.Process(int(workshop.stdout.readline()))
    child = until(leader.children, "the command was started")[0]
    child.suspend()
    workshop.kill()
    workshop.wait()
    until(lambda: not leader.is_running(), "the tether ended")
    until(lambda: not child.is_running(), "the command ended")
