"""A run keeps what was asked, is held by one process, and is seen as interrupted once that is gone."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import pytest

from glassbox.errors import BadInput
from glassbox.workspace import Run, Workspace
from glassbox.workspace.processes import Process
from glassbox.workspace.run import HEARTBEAT_FILE, STATE_FILE, Problem


@pytest.fixture
def run(workspace) -> Run:
    return workspace.runs.create("pretrain", name="plays", settings={"steps": 3}, inputs={})


def reread(run: Run) -> Run:
    return Run.read(run.folder)


def pretend_holder(run: Run, process: Process) -> None:
    """As if that process held the run."""
    status = json.loads((run.folder / STATE_FILE).read_text())
    status["process"] = process.model_dump()
    (run.folder / STATE_FILE).write_text(json.dumps(status))


def test_a_new_run_is_queued_and_keeps_what_was_asked(workspace, publish):
    corpus = publish("corpus", "plays")
    settings = {"steps": 3, "rate": 1e-3, "tags": ["a"], "none": None}
    run = workspace.runs.create("pretrain", name="plays", settings=settings, inputs={"corpus": corpus})
    assert workspace.runs.get(run.id) == run
    assert run.state == "queued"
    assert run.record.settings == settings
    assert run.record.inputs == {"corpus": corpus.link}
    assert run.id.startswith("pretrain-")


def test_a_finished_run_keeps_result_and_outputs_and_is_final(workspace, run, publish):
    model = publish("model", "plays")
    attempt = workspace.runs.begin(run)
    attempt.record("metrics", step=1, values={"loss": 2.0})
    attempt.published("model", model)
    attempt.end("finished", result={"loss": 2.0, "worst": float("inf")})
    done = reread(run)
    assert done.state == "finished"
    assert done.status.result == {"loss": 2.0, "worst": "Infinity"}
    assert done.status.outputs == {"model": model.link}
    assert [event.kind for event in done.events] == ["state", "metrics", "output", "state"]
    with pytest.raises(BadInput, match="final"):
        workspace.runs.begin(done)


def test_a_failed_run_says_why_and_runs_again_as_the_next_attempt(workspace, run):
    attempt = workspace.runs.begin(run)
    (attempt.checkpoints / "step").write_text("7")
    attempt.end("failed", problem=Problem(problem="It was dark.", remedy="Make light."))
    assert reread(run).status.problem == Problem(problem="It was dark.", remedy="Make light.")
    second = workspace.runs.begin(run)
    assert second.number == 2
    assert (second.checkpoints / "step").read_text() == "7"
    assert reread(run).status.problem is None
    second.end("finished", result={})
    assert [event.attempt for event in reread(run).events if event.kind == "state"] == [1, 1, 2, 2]


def test_a_run_that_is_held_cannot_be_started_or_deleted(workspace, run):
    attempt = workspace.runs.begin(run)
    for refused in (lambda: workspace.runs.begin(run), lambda: workspace.runs.delete(run.id)):
        with pytest.raises(BadInput, match="running"):
            refused()
    attempt.pause()
    assert reread(run).state == "paused"
    with pytest.raises(BadInput, match="paused"):
        workspace.runs.begin(run)
    attempt.go_on()
    attempt.end("cancelled")
    workspace.runs.delete(run.id)
    assert workspace.runs.list() == []
    assert list((workspace.folder / "unfinished").iterdir()) == []


def test_a_step_that_does_not_exist_is_a_fault(workspace, run):
    attempt = workspace.runs.begin(run)
    with pytest.raises(ValueError, match="running cannot become running"):
        attempt.go_on()
    attempt.end("finished")
    with pytest.raises(ValueError, match="finished cannot become failed"):
        attempt.end("failed")
    assert reread(run).state == "finished"


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_run_whose_process_is_gone_is_interrupted_and_resumable(workspace, run, state):
    attempt = workspace.runs.begin(run)
    if state == "paused":
        attempt.pause()
    assert workspace.runs.list()[0].state == state
    pretend_holder(run, Process.current().model_copy(update={"started": 1.0}))  # the id was given to another process
    assert reread(run).state == "interrupted"
    assert workspace.runs.list()[0].state == "interrupted"
    second = workspace.runs.begin(run)
    assert second.number == 2
    with pytest.raises(BadInput, match="taken over by attempt 2"):
        attempt.end("finished")
    second.end("finished")
    assert reread(run).state == "finished"


def test_a_process_in_another_place_is_judged_by_its_heartbeat(workspace, run):
    attempt = workspace.runs.begin(run)
    pretend_holder(run, Process(place="elsewhere pid:[1]", pid=1, started=1.0))
    assert reread(run).state == "running"
    os.utime(run.folder / HEARTBEAT_FILE, (time.time() - 3600, time.time() - 3600))
    assert reread(run).state == "interrupted"
    (run.folder / HEARTBEAT_FILE).unlink()
    assert reread(run).state == "interrupted"
    pretend_holder(run, Process.current())
    attempt.end("finished")


def test_the_heart_beats_while_the_run_is_held(workspace, run, monkeypatch):
    monkeypatch.setattr("glassbox.workspace.attempt.HEARTBEAT_EVERY", 0.02)
    attempt = workspace.runs.begin(run)
    beat = run.folder / HEARTBEAT_FILE
    os.utime(beat, (1.0, 1.0))
    deadline = time.monotonic() + 10
    while beat.stat().st_mtime == 1.0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert beat.stat().st_mtime > 1.0
    attempt.end("finished")


KILLED_RUN = """
run = workspace.runs.get(os.environ["RUN"])
attempt = workspace.runs.begin(run)
step = 0
while True:
    attempt.record("metrics", step=step, values={"loss": 1.0})
    step += 1
"""


def test_kill_minus_nine_leaves_an_interrupted_run_with_one_sequence_of_events(
    workspace, run, start_python, monkeypatch
):
    monkeypatch.setenv("RUN", run.id)
    for number in range(1, 4):
        process = start_python(KILLED_RUN)
        while reread(run).status.attempt < number or len(list(reread(run).events)) < number * 20:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert reread(run).state == "interrupted"
    attempt = workspace.runs.begin(run)
    attempt.end("finished")
    events = list(reread(run).events)
    assert [event.sequence for event in events] == list(range(len(events)))
    assert sorted({event.attempt for event in events}) == [1, 2, 3, 4]


RACE = """
run = workspace.runs.get(os.environ["RUN"])
from glassbox.errors import BadInput
while time.time() < float(os.environ["AT"]):
    pass
try:
    attempt = workspace.runs.begin(run)
except BadInput as error:
    print("refused", error.problem)
else:
    time.sleep(1.0)
    attempt.end("finished")
    print("held")
"""


def test_of_processes_that_start_a_run_at_the_same_moment_one_holds_it(workspace, run, start_python, monkeypatch):
    monkeypatch.setenv("RUN", run.id)
    monkeypatch.setenv("AT", str(time.time() + 3))
    outputs = [process.communicate(timeout=60)[0] for process in [start_python(RACE) for _ in range(3)]]
    assert sum("held" in output for output in outputs) == 1
    assert sum("refused" in output for output in outputs) == 2
    assert reread(run).status.attempt == 1


def test_following_ends_when_the_run_is_interrupted(workspace, run):
    attempt = workspace.runs.begin(run)
    attempt.record("log", message="one")
    seen = []
    thread = threading.Thread(target=lambda: seen.extend(event.kind for event in run.follow()))
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive()
    pretend_holder(run, Process.current().model_copy(update={"started": 1.0}))
    thread.join(10)
    assert seen == ["state", "log"]
    pretend_holder(run, Process.current())
    attempt.end("interrupted")


def test_the_beginning_of_an_id_is_enough_if_it_is_the_only_one(workspace, run):
    assert workspace.runs.get(run.id[:-2]).id == run.id
    others = [workspace.runs.create("pretrain", name="plays", settings={}, inputs={}) for _ in range(5)]
    with pytest.raises(BadInput, match="6 runs begin with 'pretrain'"):
        workspace.runs.get("pretrain")
    for text in ("", "nothing", "../artifacts", "\0", "x" * 5000):
        with pytest.raises(BadInput, match="no run called"):
            workspace.runs.get(text)
    assert len({other.id for other in others}) == 5


def test_runs_are_listed_newest_first_and_by_stage(workspace):
    ids = [
        workspace.runs.create(stage, name="a", settings={}, inputs={}).id for stage in ("split", "pretrain", "split")
    ]
    assert [entry.id for entry in workspace.runs.list()] == ids[::-1]
    assert [entry.id for entry in workspace.runs.list("split")] == [ids[2], ids[0]]


@pytest.mark.parametrize("file", ["run.json", "state.json"])
@pytest.mark.parametrize("damage", [None, "", "{", '{"state":"flying"}'])
def test_a_damaged_run_is_listed_as_such_and_can_be_deleted(workspace, run, file, damage):
    path = run.folder / file
    path.unlink() if damage is None else path.write_text(damage)
    [entry] = Workspace(workspace.folder).runs.list()
    assert file in (entry.problem or "")
    assert entry.state is None
    with pytest.raises(BadInput, match=file):
        workspace.runs.get(run.id)
    workspace.runs.delete(run.id)
    assert workspace.runs.list() == []


def test_a_bad_name_makes_no_run(workspace):
    with pytest.raises(BadInput):
        workspace.runs.create("split", name="../x", settings={}, inputs={})
    assert workspace.runs.list() == []


def test_a_run_that_cannot_write_its_first_event_is_failed_not_held(workspace, run):
    (run.folder / "events.jsonl").mkdir()
    with pytest.raises(OSError, match="directory"):
        workspace.runs.begin(run)
    assert reread(run).state == "failed"


def test_on_a_full_disk_the_end_of_a_run_can_be_tried_again(workspace, run, monkeypatch):
    attempt = workspace.runs.begin(run)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(BadInput, match="is full"):
        attempt.end("failed")
    monkeypatch.undo()
    assert reread(run).state == "running"
    attempt.end("failed")
    assert reread(run).state == "failed"
