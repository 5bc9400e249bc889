"""What people ask of runs, several servers that look after them, and what isn't as it should be."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from pretend_servers import GB, ServerKilled, Servers, at_its_end, begun, kill_at, look

from glassbox.errors import BadInput
from glassbox.workshop.database.database import DatabaseAway
from glassbox.workshop.database.tables import JobRow
from glassbox.workshop.jobs import attending, executor, scheduler
from glassbox.workshop.jobs.launchers.interface import Condition
from glassbox.workshop.jobs.slots import Slots, Takes
from glassbox.workshop.jobs.submission import Asked, Schedule, next_attempt_job
from glassbox.workspace.run import Origin

# Pausing


def test_a_paused_run_gives_its_threads_away_and_goes_on_first(servers: Servers):
    server = servers.new()
    run, process = begun(servers, server, threads=2)
    other = server.submit(servers.job(threads=2)).run
    third = server.submit(servers.job(threads=2, priority=9)).run
    assert server.want(run, "pause")
    assert server.check(run).why == "It will pause after what it is doing just now."
    process.listen()
    look(server)
    assert server.check(run).state == "paused"
    assert server.check(third).state == "starting"
    server.want(run, "run")
    assert server.check(run).why == "It waits for 2 CPU threads (0 free)."
    process.listen()
    assert server.check(run).state == "paused"
    assert server.check(run).position == 1
    servers.launcher.process_of(third).begin()
    servers.launcher.process_of(third).finish()
    look(server)
    process.listen()
    assert server.check(run).state == "running"
    assert server.check(other).state == "waiting"


def test_a_run_can_be_paused_in_the_line(servers: Servers):
    server = servers.new()
    run = server.submit(servers.job()).run
    server.want(run, "pause")
    look(server)
    assert (server.check(run).state, server.check(run).position) == ("paused", None)
    server.want(run, "run")
    look(server)
    assert server.check(run).state == "starting"


def test_a_paused_run_that_is_killed_stays_paused(servers: Servers):
    server = servers.new()
    run, process = begun(servers, server)
    server.want(run, "pause")
    process.listen()
    look(server)
    process.die()
    look(server)
    assert server.check(run).state == "paused"
    assert servers.launcher.alive == []
    server.want(run, "run")
    assert at_its_end(servers, server, run) == "finished"


# Nothing comes back


def test_nothing_leads_away_from_cancelled(servers: Servers):
    server = servers.new()
    run, process = begun(servers, server)
    server.cancel(run)
    process.listen()
    look(server)
    assert server.check(run).state == "cancelled"
    assert not server.want(run, "run")
    with pytest.raises(BadInput):
        server.cancel(run)
    for _ in range(3):
        look(server)
    assert len(servers.launcher.processes) == 1


def test_giving_up_is_not_taken_back(servers: Servers):
    server = servers.new()
    run, process = begun(servers, server)
    server.want(run, "cancel")
    assert not server.want(run, "run")
    process.listen()
    assert server.check(run).state == "cancelled"


def test_a_run_that_does_not_listen_is_killed_and_then_cancelled(servers: Servers, monkeypatch):
    server = servers.new()
    run, process = begun(servers, server)
    monkeypatch.setattr(attending, "GRACE", -1.0)
    server.cancel(run)
    look(server)
    assert not process.is_alive
    assert server.check(run).state == "cancelled"


def test_a_process_that_stays_after_its_run_is_over_is_killed(servers: Servers, monkeypatch):
    server = servers.new()
    run, process = begun(servers, server)
    process.attempt.end("finished")
    look(server)
    assert server.check(run).job.state == "started"  # its slots aren't free yet
    monkeypatch.setattr(attending, "GRACE", -1.0)
    process.attempt = None
    look(server)
    assert not process.is_alive
    assert server.check(run).job.state == "ended"


def test_what_a_person_runs_at_the_command_line_is_left_alone(servers: Servers):
    server = servers.new()
    run = server.submit(servers.job()).run
    attempt = servers.workspace.runs.begin(servers.workspace.runs.get(run))
    look(server)
    check = server.check(run)
    assert (check.state, check.job.state) == ("running", "ended")
    with pytest.raises(BadInput):
        server.cancel(run)
    attempt.end("finished")
    assert server.check(run).state == "finished"
    assert servers.launcher.processes == []


def test_a_run_whose_folder_is_deleted_is_forgotten_by_the_line(servers: Servers):
    server = servers.new()
    run = server.submit(servers.job()).run
    servers.workspace.runs.delete(run)
    look(server)
    assert server.queue.get(run).state == "ended"
    assert servers.launcher.processes == []


# Several servers


def test_a_server_leaves_alone_what_another_one_looks_after(servers: Servers):
    here, there = servers.new(), servers.new()
    here.queue._is_free = lambda *_: False  # its processes can't be seen from here: only its lease counts
    run = there.submit(servers.job()).run
    assert here.queue.take() == []
    look(here)
    assert here.check(run).state == "waiting"
    there.queue.release()
    del here.queue._is_free
    look(here)
    assert here.check(run).state == "starting"


def test_two_servers_at_once_start_a_run_once(servers: Servers):
    """The other one wakes up in the very moment in which the first is about to start the process."""
    first, second = servers.new(lease=0.0), servers.new(lease=0.0)
    run = first.submit(servers.job()).run
    others = iter([second])
    servers.launcher.before_start = lambda _order: [look(server) for server in others]
    look(first)
    assert len(servers.launcher.alive) == 2
    for process in servers.launcher.alive:
        process.begin()
    assert len(servers.launcher.alive) == 1
    assert at_its_end(servers, second, run) == "finished"
    assert servers.workspace.runs.get(run).status.attempt == 1


def test_a_server_that_slept_through_its_lease_writes_nothing(servers: Servers):
    first = servers.new()
    run, process = begun(servers, first)
    (stale,) = first.queue.take(run)
    second = servers.new()
    process.die()
    look(second)
    assert not first.queue.end(stale)
    assert second.queue.get(run).state == "started"


def test_slots_are_those_of_each_machine(make_servers: Callable[..., Servers]):
    servers = make_servers(Slots(2, 4 * GB))
    server = servers.new()
    run, _ = begun(servers, server, threads=2)
    with servers.database.writing() as session:
        session.get_one(JobRow, run).place = "another machine"
    other = server.submit(servers.job(threads=2)).run
    look(server)
    assert server.check(other).state == "starting"


# What can't be seen, or isn't as it should be


def test_an_attempt_that_cannot_be_seen_is_waited_for_and_then_started_anew(servers: Servers, monkeypatch):
    server = servers.new()
    run = server.submit(servers.job()).run
    look(server)
    monkeypatch.setattr(servers.launcher, "look", lambda _handle: Condition("unknown"))
    look(server)
    assert server.check(run).state == "starting"
    monkeypatch.setattr(attending, "UNSEEN", -1.0)
    server.attend_all()
    assert server.check(run).state == "waiting"
    assert "never heard of again" in server.check(run).why


def test_a_run_that_is_given_up_before_it_began_is_cancelled(servers: Servers):
    server = servers.new()
    run = server.submit(servers.job()).run
    look(server)
    process = servers.launcher.process_of(run)
    process.is_alive, process.exit_code = False, -9
    server.cancel(run)
    assert server.check(run).state == "cancelled"


def test_a_run_in_the_line_that_had_failed_stays_failed_when_it_is_given_up(servers: Servers):
    server = servers.new()
    run, process = begun(servers, server)
    process.fail()
    look(server)
    job = server.queue.get(run)
    again = next_attempt_job(servers.workspace.runs.get(run), Takes(1, GB), Schedule(), Asked(servers.user), None)
    assert server.submit_again(again)
    assert not server.submit_again(next_attempt_job(server.check(run).run, Takes(1, GB), Schedule(), Asked("x"), None))
    assert server.queue.get(run).asked == job.asked
    assert server.check(run).state == "waiting"
    server.cancel(run)
    assert server.check(run).state == "failed"


def test_a_checkpoint_to_go_on_from_counts_for_one_attempt(servers: Servers):
    server = servers.new()
    run, process = begun(servers, server, retries=0)
    process.save()
    process.save()
    process.die()
    look(server)
    found = servers.workspace.runs.get(run)
    server.submit_again(next_attempt_job(found, Takes(1, GB), Schedule(retries=3), Asked(servers.user), 1))
    look(server)
    process = servers.launcher.process_of(run)
    assert process.order.from_checkpoint == 1
    process.begin()
    process.die()
    look(server)
    assert servers.launcher.process_of(run).order.from_checkpoint is None


def test_a_disk_that_refuses_a_new_run_is_asked_again(servers: Servers, monkeypatch):
    server = servers.new()
    kill_at(monkeypatch, executor, "publish")
    with pytest.raises(ServerKilled):
        server.submit(servers.job("key"))
    monkeypatch.undo()

    def refuse(*_arguments: object) -> None:
        raise BadInput("The disk is full.", "Free some space.")

    again = servers.new()
    monkeypatch.setattr(attending, "publish", refuse)
    look(again)
    assert servers.workspace.runs.list() == []
    monkeypatch.undo()
    look(again)
    assert len(servers.workspace.runs.list()) == 1


def test_a_fork_whose_origin_was_deleted_meanwhile_is_not_tried_for_ever(servers: Servers):
    server = servers.new()
    job = servers.job()
    origin = Origin(run="rehearse-gone22", step=5)
    job.record = servers.workspace.runs.describe(
        "rehearse", name="plays", settings={}, inputs={}, origin=origin
    ).model_dump_json()
    server.queue.add(job)
    look(server)
    assert server.queue.get(job.run).state == "ended"
    assert servers.workspace.runs.list() == []


def test_a_damaged_run_leaves_the_line_with_a_note(servers: Servers):
    server = servers.new()
    run = server.submit(servers.job()).run
    (servers.workspace.runs.folder / run / "state.json").write_text("{")
    look(server)
    job = server.queue.get(run)
    assert (job.state, "is damaged" in job.note) == ("ended", True)


def test_trouble_with_one_run_is_not_that_of_the_others(servers: Servers, monkeypatch):
    server = servers.new()
    bad, good = server.submit(servers.job()).run, server.submit(servers.job()).run
    real = attending.Attendant._attend_waiting

    def troubled(self: Any, job: JobRow, run: Any) -> None:
        if job.run == bad:
            raise RuntimeError("a fault of ours")
        real(self, job, run)

    monkeypatch.setattr(attending.Attendant, "_attend_waiting", troubled)
    look(server)
    assert server.check(good).state == "starting"


def test_the_scheduler_goes_on_when_the_database_is_back(servers: Servers, monkeypatch, caplog):
    server = servers.new()
    run = server.submit(servers.job()).run
    troubles = iter([DatabaseAway("gone"), DatabaseAway("gone"), RuntimeError("a fault of ours")])
    real = server.attend_all

    def troubled() -> None:
        for trouble in troubles:
            raise trouble
        real()

    monkeypatch.setattr(server, "attend_all", troubled)
    monkeypatch.setattr(scheduler, "WHILE_AWAY", 0.01)
    monkeypatch.setattr(scheduler, "EVERY", 0.01)
    worker = scheduler.Scheduler(server)
    worker.start()
    deadline = time.monotonic() + 30
    while server.check(run).state != "starting":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    worker.stop()
    said = [record.message for record in caplog.records]
    assert sum("the database is away" in one for one in said) == 1
    assert "a fault of the scheduler; it goes on" in said
    assert server.queue.get(run).lease_holder is None
