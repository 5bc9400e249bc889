"""However a stage ends, its run says so; what it was given and made is kept; and it can go on where it was."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from glassbox.errors import BadInput
from glassbox.stages import context as context_module
from glassbox.stages import execution
from glassbox.stages.execution import StageFault, execute, follow, resume
from glassbox.stages.interface import Progress, Stage, StageSettings
from glassbox.stages.stopping import StopRequest
from glassbox.workspace import Run
from glassbox.workspace.attempt_requests import make_request, withdraw_request
from glassbox.workspace.run import STATE_FILE


class Recorder:
    """A watcher that remembers."""

    def __init__(self):
        self.events, self.progress = [], []

    def on_event(self, event):
        self.events.append(event)

    def on_progress(self, progress):
        self.progress.append(progress)


def settings_of(stage, **values):
    return stage.settings(**values)


def publish(workspace, kind, name, parents=()):
    with workspace.artifacts.draft(kind, name, parents=parents) as draft:
        (draft.folder / "text.txt").write_text("text")
    return draft.artifact


def test_a_finished_run_has_its_result_its_outputs_and_its_events(rehearse, workspace):
    corpus = publish(workspace, "corpus", "plays")
    watcher = Recorder()
    outcome = execute(rehearse, settings_of(rehearse, loud=True), workspace, {"corpus": corpus}, watcher=watcher)
    assert outcome.run.state == "finished"
    assert outcome.result == {"steps": 3, "bad": None}
    report = outcome.outputs["report"]
    assert report.reference == "plays:1"
    assert report.manifest.run == outcome.run.id
    assert [link.id for link in report.manifest.parents] == [corpus.id]
    assert outcome.run.status.outputs["report"] == report.link
    assert outcome.run.record.settings["shape"] == {"width": 8}
    kinds = [event.kind for event in outcome.run.events]
    assert kinds.count("metrics") == kinds.count("log") == 3
    assert kinds[0] == kinds[-1] == "state"
    assert [event.kind for event in watcher.events].count("metrics") == 3
    assert watcher.progress[0] == Progress(0, 3, "steps", "rehearsing")


@pytest.mark.parametrize(("name", "called"), [("mine", "mine"), (None, "rehearse")])
def test_outputs_are_named_by_the_person_else_by_the_input_else_by_the_stage(rehearse, workspace, name, called):
    assert execute(rehearse, settings_of(rehearse), workspace, {}, name=name).outputs["report"].name == called


def test_a_name_that_cannot_be_one_is_refused_before_anything_is_made(rehearse, workspace):
    with pytest.raises(BadInput):
        execute(rehearse, settings_of(rehearse), workspace, {}, name="../x")
    assert workspace.runs.list() == []


def test_a_mistake_of_the_person_is_kept_with_its_remedy_and_makes_nothing(rehearse, workspace):
    with pytest.raises(BadInput, match="meant to fail"):
        execute(rehearse, settings_of(rehearse, ending="bad-input"), workspace, {})
    [entry] = workspace.runs.list()
    problem = workspace.runs.get(entry.id).status.problem
    assert (entry.state, problem.remedy) == ("failed", "Choose another ending.")
    assert workspace.artifacts.list() == []
    assert [event.kind for event in workspace.runs.get(entry.id).events][-2:] == ["error", "state"]


@pytest.mark.parametrize(("ending", "words"), [("fault", "RuntimeError: a fault of ours"), ("no-json", "TypeError")])
def test_a_fault_of_ours_keeps_its_traceback_in_the_folder_of_the_run(rehearse, workspace, ending, words):
    with pytest.raises(StageFault, match=words) as caught:
        execute(rehearse, settings_of(rehearse, ending=ending), workspace, {})
    run = workspace.runs.get(caught.value.run_id)
    assert run.state == "failed"
    assert caught.value.trace.parent == run.folder
    assert "Traceback" in caught.value.trace.read_text()
    assert run.status.problem.traceback == caught.value.trace.name


def test_a_full_disk_is_said_so_whatever_library_met_it(rehearse, workspace):
    with pytest.raises(BadInput, match="is full"):
        execute(rehearse, settings_of(rehearse, ending="full-disk"), workspace, {})
    assert workspace.runs.list()[0].state == "failed"
    assert workspace.artifacts.list() == []


def test_a_disk_so_full_that_the_failure_cannot_be_written_leaves_a_run_to_resume(rehearse, workspace, monkeypatch):
    stage = rehearse
    real = os.write

    def fill(self, *_):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)

    monkeypatch.setattr(context_module.RunContext, "text", fill)
    with pytest.raises(BadInput, match="is full"):
        execute(stage, settings_of(stage), workspace, {})
    monkeypatch.setattr(os, "write", real)
    [entry] = workspace.runs.list()
    assert entry.state == "running"  # as long as this process lives
    pretend_dead(workspace.runs.get(entry.id))
    monkeypatch.undo()
    assert workspace.runs.get(entry.id).state == "interrupted"


def pretend_dead(run: Run) -> None:
    text = (run.folder / STATE_FILE).read_text()
    (run.folder / STATE_FILE).write_text(text.replace(str(run.status.process.started), "1.0"))


def test_a_request_to_stop_ends_in_an_interrupted_run_that_goes_on_where_it_was(rehearse, workspace):
    stop = StopRequest()
    stop.made = True
    outcome = execute(rehearse, settings_of(rehearse, steps=4), workspace, {}, stop=stop)
    assert outcome.run.state == "interrupted"
    assert outcome.result == {"stopped_after": 0}
    assert outcome.outputs == {}
    again = resume(workspace, outcome.run.id)
    assert again.run.state == "finished"
    assert again.run.status.attempt == 2
    assert again.result["steps"] == 3  # the first was done before
    steps = [event.fields["step"] for event in again.run.events if event.kind == "metrics"]
    assert steps == [0, 1, 2, 3]


def test_a_stage_that_made_everything_before_it_could_stop_is_finished(rehearse, workspace, monkeypatch):
    stop = StopRequest()
    monkeypatch.setattr(context_module.RunContext, "stop_requested", False)
    stop.made = True
    assert execute(rehearse, settings_of(rehearse), workspace, {}, stop=stop).run.state == "finished"


def test_control_c_asks_and_twice_stops_at_once(rehearse, workspace):
    said, before = [], signal.getsignal(signal.SIGINT)
    stop = StopRequest(lambda: said.append("heard"))
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    outcome = execute(rehearse, settings_of(rehearse, steps=1000, pause=0.05), workspace, {}, stop=stop)
    assert outcome.run.state == "interrupted"
    assert said == ["heard"]

    for delay in (0.2, 0.5):
        threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(KeyboardInterrupt):
        execute(rehearse, settings_of(rehearse, steps=1000, pause=10), workspace, {})
    assert {entry.state for entry in workspace.runs.list()} == {"interrupted"}
    assert signal.getsignal(signal.SIGINT) is before


def test_a_cancelled_run_is_over_for_good(rehearse, workspace):
    run = workspace.runs.create("rehearse", name="x", settings={"steps": 1000, "pause": 0.01}, inputs={})
    make_request(run.folder, 1, "cancel")
    assert resume(workspace, run.id).run.state == "cancelled"
    with pytest.raises(BadInput, match="only failed and interrupted"):
        resume(workspace, run.id)


def test_a_run_that_is_cancelled_when_it_has_made_everything_is_finished(rehearse, workspace, monkeypatch):
    run = workspace.runs.create("rehearse", name="x", settings={}, inputs={})
    monkeypatch.setattr(context_module, "_ASKED_EVERY", 1000)  # it has looked once and won't again
    real = context_module.RunContext.text

    def ask(self, *arguments):
        make_request(run.folder, 1, "cancel")
        real(self, *arguments)

    monkeypatch.setattr(context_module.RunContext, "text", ask)
    assert resume(workspace, run.id).run.state == "finished"


def test_a_pause_is_no_part_of_the_time_that_is_told(workspace):
    def run(settings, context):
        assert not context.stop_requested
        return {"paused": context.paused_seconds}

    queued = workspace.runs.create("rehearse", name="x", settings={}, inputs={})
    make_request(queued.folder, 1, "pause")
    threading.Timer(0.5, lambda: withdraw_request(queued.folder, 1, "pause")).start()
    attempt = workspace.runs.begin(queued)
    stage = Stage(settings=StageSettings, run=run)
    context = context_module.RunContext(stage, workspace, queued, attempt, {}, StopRequest(), None)
    assert 0.2 < run(None, context)["paused"] < 5
    attempt.end("finished")


def test_an_attempt_of_another_number_than_was_meant_does_not_begin(rehearse, workspace):
    run = workspace.runs.create("rehearse", name="x", settings={}, inputs={})
    with pytest.raises(BadInput, match="is number 1, not 2"):
        resume(workspace, run.id, attempt=2)
    assert workspace.runs.get(run.id).state == "queued"
    assert resume(workspace, run.id, attempt=1).run.state == "finished"


def test_a_stage_that_one_process_does_is_refused_for_several(rehearse, workspace):
    run = workspace.runs.create("rehearse", name="x", settings={}, inputs={})
    for attempt in (
        lambda: resume(workspace, run.id, world_size=2),
        lambda: follow(workspace, run.id, rank=1, world_size=2),
    ):
        with pytest.raises(BadInput, match="the work of one process, not of 2"):
            attempt()
    assert workspace.runs.get(run.id).state == "queued"


def test_a_process_that_follows_tells_nothing_and_makes_nothing(workspace, monkeypatch):
    seen = []

    def run(settings, context):
        seen.append((context.rank, context.world_size, context.stop_requested, context.name))
        context.progress(1, 2)
        context.metrics(1, {"loss": 1.0})
        context.log("words")
        context.text("sample", "words")
        with pytest.raises(RuntimeError, match="rank 1 has no outputs"):
            context.output("report")
        with pytest.raises(KeyError):
            context.input("corpus")
        return {}

    stage = Stage(settings=StageSettings, run=run, parallel=True)
    monkeypatch.setattr(execution, "load_stage", lambda name: stage)
    queued = workspace.runs.create("rehearse", name="x", settings={}, inputs={})
    follow(workspace, queued.id, rank=1, world_size=2)
    assert seen == [(1, 2, False, "x")]
    assert list(workspace.runs.get(queued.id).events) == []
    assert workspace.runs.get(queued.id).state == "queued"


def test_a_stage_may_run_in_a_thread_that_hears_no_signals(rehearse, workspace):
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(execute(rehearse, settings_of(rehearse), workspace, {})))
    thread.start()
    thread.join()
    assert outcomes[0].run.state == "finished"


def test_a_finished_run_cannot_be_resumed(rehearse, workspace):
    run = execute(rehearse, settings_of(rehearse), workspace, {}).run
    with pytest.raises(BadInput, match="only failed and interrupted"):
        resume(workspace, run.id)


def test_a_run_whose_input_was_deleted_cannot_be_resumed(rehearse, workspace):
    corpus = publish(workspace, "corpus", "plays")
    with pytest.raises(BadInput, match="meant to fail"):
        execute(rehearse, settings_of(rehearse, ending="bad-input"), workspace, {"corpus": corpus})
    workspace.delete_artifact("corpus", "plays")
    with pytest.raises(BadInput, match=r"corpus plays:1 that .* has been deleted"):
        resume(workspace, workspace.runs.list()[0].id)


def test_settings_of_another_version_of_a_stage_are_named(rehearse, workspace):
    run = workspace.runs.create("rehearse", name="x", settings={"velocity": 3}, inputs={})
    with pytest.raises(BadInput, match="from another version of Glassbox: velocity"):
        resume(workspace, run.id)


def test_a_queued_run_can_be_started(rehearse, workspace):
    run = workspace.runs.create("rehearse", name="x", settings={"steps": 2}, inputs={})
    assert resume(workspace, run.id).run.state == "finished"


def test_progress_is_told_often_and_written_seldom(workspace):
    def run(settings, context):
        start = time.monotonic()
        while (now := time.monotonic() - start) < 1.0:
            context.progress(now, 1.0)
        context.progress(1.0, 1.0)
        return {}

    watcher = Recorder()
    outcome = execute(Stage(settings=StageSettings, run=run), StageSettings(), workspace, {}, watcher=watcher)
    written = [event for event in outcome.run.events if event.kind == "progress"]
    assert len(written) <= 6
    assert len(written) < len(watcher.progress) <= 12
    assert written[-1].fields["done"] == watcher.progress[-1].done == 1.0  # the last is never held back
