"""A process is known by its place, id and start, so that an id used again is not taken for the old one."""

from __future__ import annotations

import subprocess
import sys
import time

from glassbox.workspace.processes import Process
from glassbox.workspace.unfinished import UnfinishedFolders


def test_the_current_process_is_alive():
    assert Process.current().is_alive() is True


def test_an_id_that_is_used_again_is_another_process():
    assert Process.current().model_copy(update={"started": Process.current().started - 100}).is_alive() is False


def test_a_process_of_another_place_cannot_be_judged():
    assert Process.current().model_copy(update={"place": "elsewhere"}).is_alive() is None


def test_a_process_that_ended_is_dead_even_while_its_parent_has_not_looked():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    import psutil

    process = Process.current().model_copy(
        update={"pid": child.pid, "started": psutil.Process(child.pid).create_time()}
    )
    assert process.is_alive() is True
    child.kill()
    deadline = time.monotonic() + 10
    while process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.is_alive() is False  # a zombie until the next line
    child.wait()
    assert process.is_alive() is False


def test_the_sweep_takes_what_the_dead_left_and_spares_what_the_living_and_the_unseen_hold(tmp_path):
    import os

    unfinished = UnfinishedFolders(tmp_path / "unfinished")
    unfinished.sweep()  # nothing there yet
    mine, dead, unseen, forgotten, nameless, damaged = (unfinished.create() for _ in range(6))
    me = Process.current()
    (dead / "owner.json").write_text(me.model_copy(update={"started": 1.0}).model_dump_json())
    for place in (unseen, forgotten):
        (place / "owner.json").write_text(me.model_copy(update={"place": "elsewhere"}).model_dump_json())
    (nameless / "owner.json").unlink()
    (damaged / "owner.json").write_text("{")
    month_ago = time.time() - 30 * 24 * 3600
    for place in (forgotten, damaged, mine):
        os.utime(place, (month_ago, month_ago))
    unfinished.sweep()
    assert {place for place in (mine, dead, unseen, forgotten, nameless, damaged) if place.exists()} == {
        mine,
        unseen,
        nameless,
    }
