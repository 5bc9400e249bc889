"""What an attempt prints goes to a file that stays short, and whose end is the last that was said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys
from pathlib import Path
from glassbox.workshop.jobs.output_limit import OutputLimit
print("before", flush=True)
with OutputLimit(Path(sys.argv[1]), longest=4000, kept=1000, every=0.01):
    for number in range(20_000):
        print(f"line {number}", flush=number % 100 == 0)
    os.system("echo from a child >&2")
    sys.stderr.write("the end")
print("after")
"""


def test_a_talkative_process_leaves_the_end_of_what_it_said(tmp_path: Path) -> None:
    file = tmp_path / "output-1.log"
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nafter\n"
    assert file.stat().st_size < 10_000
    text = file.read_text()
    assert text.startswith("[...]\n")
    assert "line 19999\n" in text
    assert "from a child" in text
    assert "the end" in text


def test_the_last_words_of_a_process_that_is_killed_are_there(tmp_path: Path) -> None:
    file = tmp_path / "output-1.log"
    file.write_text("by an earlier start\n")
    program = PROGRAM.replace('os.system("echo from a child >&2")', "sys.stdout.flush(); os.kill(os.getpid(), 9)")
    done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True)
    assert done.returncode == -9
    assert file.read_text().endswith("line 19999\n")
    assert file.stat().st_size < 300_000  # the limit may not have had its turn
