"""The five verbs, and what becomes of runs when servers and processes are killed between two steps."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from pretend_servers import GB, Servers
from pretending import PretendProcess

from glassbox.errors import BadInput
from glassbox.workshop.database.database import DatabaseAway
from glassbox.workshop.database.tables import JobRow, OwnerRow
from glassbox.workshop.jobs import attending, executor, scheduler
from glassbox.workshop.jobs.executor import Executor
from glassbox.workshop.jobs.launchers.interface import Condition
from glassbox.workshop.jobs.queue import Queue
from glassbox.workshop.jobs.slots import Slots, Takes
from glassbox.workshop.jobs.submission import Asked, Schedule, next_attempt_job
from glassbox.workspace.run import Origin


class ServerKilled(BaseException):
    """The server is gone in this very moment."""


def look(server: Executor) -> None:
    server.attend_all()
    server.start_next()


def begun(servers: Servers, server: Executor, **fields: object) -> tuple[str, PretendProcess]:
    """A run that is at work."""
    run = server.submit(servers.job(**fields)).run
    look(server)
    process = servers.launcher.process_of(run)
    process.begin()
    look(server)
    return run, process


def at_its_end(servers: Servers, server: Executor, run: str) -> str:
    """Let whatever is started begin and finish, until nothing is left to do."""
    for _ in range(20):
        look(server)
        for process in servers.launcher.alive:
            if process.attempt is None:
                process.begin()
            if process.attempt is not None:
                process.finish()
        if (now := server.check(run)).job is not None and now.job.state == "ended":
            return now.state
    pytest.fail(f"{run} is still {server.check(run)}")


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


def kill_at(monkeypatch: pytest.MonkeyPatch, place: object, name: str) -> None:
    def killed(*_arguments: object, **_words: object) -> None:
        raise ServerKilled

    monkeypatch.setattr(place, name, killed)


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

    def troubled(self: object, job: JobRow, run: object) -> None:
        if job.run == bad:
            raise RuntimeError("a fault of ours")
        real(self, job, run)  # pyright: ignore[reportArgumentType]  (as it came)

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
