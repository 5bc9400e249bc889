"""The five verbs, and what becomes of runs when servers and processes are killed between two steps."""

from __future__ import annotations

import pytest
from pretend_servers import ServerKilled, Servers, at_its_end, begun, kill_at, look

from glassbox.errors import BadInput
from glassbox.workshop.database.tables import OwnerRow
from glassbox.workshop.jobs import executor
from glassbox.workshop.jobs.executor import Executor
from glassbox.workshop.jobs.queue import Queue


def test_a_run_waits_starts_runs_and_finishes(servers: Servers):
    server = servers.new()
    run = server.submit(servers.job()).run
    assert server.check(run).state == "waiting"
    assert server.check(run).position == 1
    look(server)
    assert server.check(run).state == "starting"
    process = servers.launcher.process_of(run)
    assert process.order.threads == 1
    process.begin()
    assert server.check(run).state == "running"
    process.finish()
    assert server.check(run).state == "finished"
    look(server)
    assert server.wait(run, 0).job.state == "ended"


def test_a_run_that_does_not_fit_says_what_it_waits_for(servers: Servers):
    server = servers.new()
    begun(servers, server, threads=2)
    run = server.submit(servers.job(threads=2)).run
    other = server.submit(servers.job(priority=5)).run
    look(server)
    assert (server.check(other).position, server.check(run).position) == (1, 2)
    assert server.check(run).why == f"It waits for 2 CPU threads (0 free); {other} is ahead of it."


def test_the_same_key_starts_one_run(servers: Servers):
    server = servers.new()
    first = server.submit(servers.job("key"))
    assert server.submit(servers.job("key")).run == first.run
    assert server.submit(servers.job("another")).run != first.run
    assert len(servers.workspace.runs.list()) == 2


def test_a_run_belongs_to_whom_asked_for_it(servers: Servers):
    run = servers.new().submit(servers.job()).run
    with servers.database.reading() as session:
        assert session.get_one(OwnerRow, ("run", run)).user == servers.user


def test_nothing_is_left_of_a_run_that_the_disk_refused(servers: Servers, monkeypatch: pytest.MonkeyPatch):
    server = servers.new()

    def refuse(*_arguments: object) -> None:
        raise BadInput("The disk is full.", "Free some space.")

    monkeypatch.setattr(executor, "publish", refuse)
    with pytest.raises(BadInput, match="disk is full"):
        server.submit(servers.job("key"))
    monkeypatch.undo()
    assert server.queue.jobs() == {}
    assert server.submit(servers.job("key")).state


# Crash points: whatever was reached, a server that comes after goes on from there


@pytest.mark.parametrize(
    ("place", "name"),
    [
        pytest.param(executor, "publish", id="after the row, before the folder"),
        pytest.param(Queue, "take", id="after the folder, before the row says so"),
    ],
)
def test_a_server_killed_while_it_took_a_run_lost_nothing(servers: Servers, monkeypatch, place: object, name: str):
    server = servers.new()
    kill_at(monkeypatch, place, name)
    with pytest.raises(ServerKilled):
        server.submit(servers.job("key"))
    monkeypatch.undo()
    again = servers.new()
    again.recover()
    (run,) = [entry.id for entry in servers.workspace.runs.list()]
    assert again.submit(servers.job("key")).run == run
    assert at_its_end(servers, again, run) == "finished"
    assert len(servers.launcher.processes) == 1


def test_a_server_killed_before_the_row_lost_only_a_question(servers: Servers, monkeypatch):
    kill_at(monkeypatch, Queue, "add")
    with pytest.raises(ServerKilled):
        servers.new().submit(servers.job("key"))
    assert servers.workspace.runs.list() == []


@pytest.mark.parametrize(
    ("method", "starts"),
    [
        pytest.param("place_next", 1, id="before the order"),
        pytest.param("start", 1, id="after the order, before the process"),
        pytest.param("change", 1, id="after the process, before its handle"),
    ],
)
def test_a_server_killed_while_it_started_a_run_started_it_once(servers: Servers, monkeypatch, method, starts):
    server = servers.new()
    run = server.submit(servers.job()).run
    kill_at(monkeypatch, servers.launcher if method == "start" else Queue, method)
    with pytest.raises(ServerKilled):
        server.start_next()
    monkeypatch.undo()
    again = servers.new()
    again.recover()
    assert at_its_end(servers, again, run) == "finished"
    assert len(servers.launcher.processes) == starts
    assert servers.workspace.runs.get(run).status.attempt == 1


def test_a_process_that_ended_before_its_handle_was_kept_is_not_missed(servers: Servers, monkeypatch):
    server = servers.new()
    run = server.submit(servers.job()).run
    kill_at(monkeypatch, Queue, "change")
    with pytest.raises(ServerKilled):
        server.start_next()
    monkeypatch.undo()
    process = servers.launcher.process_of(run)
    process.begin()
    process.finish()
    again = servers.new()
    again.recover()
    assert again.check(run).state == "finished"
    assert again.check(run).job.state == "ended"


def test_a_server_killed_after_it_cancelled_a_waiting_run_leaves_it_cancelled(servers: Servers, monkeypatch):
    server = servers.new()
    run = server.submit(servers.job()).run
    kill_at(monkeypatch, Queue, "end")
    with pytest.raises(ServerKilled):
        server.cancel(run)
    monkeypatch.undo()
    assert servers.workspace.runs.get(run).state == "cancelled"
    again = servers.new()
    look(again)
    assert again.check(run).job.state == "ended"
    assert servers.launcher.processes == []


def test_a_wish_survives_the_server_that_heard_it(servers: Servers, monkeypatch):
    server = servers.new()
    run, process = begun(servers, server)
    kill_at(monkeypatch, Executor, "settle")
    with pytest.raises(ServerKilled):
        server.cancel(run)
    monkeypatch.undo()
    servers.new().recover()
    process.listen()
    assert servers.workspace.runs.get(run).state == "cancelled"


# Processes that are killed


def test_a_killed_run_goes_on_by_itself_as_its_next_attempt(servers: Servers):
    server = servers.new()
    run, process = begun(servers, server)
    process.die()
    look(server)
    check = server.check(run)
    assert check.state == "starting"
    again = servers.launcher.process_of(run)
    assert again.order.attempt == 2
    assert at_its_end(servers, server, run) == "finished"


def test_a_run_that_is_killed_again_and_again_without_getting_on_is_left_interrupted(servers: Servers):
    server = servers.new()
    run, process = begun(servers, server, retries=2)
    for _ in range(2):
        process.die()
        look(server)
        process = servers.launcher.process_of(run)
        process.begin()
    process.die()
    look(server)
    check = server.check(run)
    assert check.state == "interrupted"
    assert check.why == "Its process was killed 3 times since it last saved a checkpoint. Resume it."
    look(server)
    assert servers.launcher.alive == []


def test_a_run_that_gets_on_between_kills_goes_on_for_ever(servers: Servers):
    server = servers.new()
    run, process = begun(servers, server, retries=1)
    for _ in range(5):
        process.save()
        process.die()
        look(server)
        process = servers.launcher.process_of(run)
        process.begin()
        look(server)
    assert at_its_end(servers, server, run) == "finished"


def test_a_run_that_failed_is_not_tried_again(servers: Servers):
    server = servers.new()
    run, process = begun(servers, server)
    process.fail()
    look(server)
    look(server)
    assert server.check(run).state == "failed"
    assert len(servers.launcher.processes) == 1


def test_a_process_that_never_begins_makes_its_run_fail_with_a_reason(servers: Servers):
    server = servers.new()
    run = server.submit(servers.job(retries=1)).run
    for _ in range(2):
        look(server)
        process = servers.launcher.process_of(run)
        process.is_alive, process.exit_code = False, 1
    look(server)
    check = server.check(run)
    assert check.state == "failed"
    assert check.run.status.problem.problem == "Its process ended with the code 1 before it had begun, 2 times."


def test_a_start_that_is_refused_makes_its_run_fail_with_the_reason(servers: Servers):
    def refuse(_order: object) -> None:
        raise BadInput("No more processes.", "Wait.")

    servers.launcher.before_start = refuse
    server = servers.new()
    run = server.submit(servers.job()).run
    look(server)
    check = server.check(run)
    assert (check.state, check.run.status.problem.problem) == ("failed", "No more processes.")
    assert check.job.state == "ended"
