"""What is to be done about one job, by what its folder and its processes are like just now.

Each look is complete in itself: nothing is remembered from the one before but what stands in the row and in the folder.
So it doesn't matter which server looks, how often, or when the last one was killed. Steps that belong together are
ordered so that the one that can't be repeated comes last, and each of the others can be repeated:

    a new run      row, folder, row says `waiting`      a row without a folder gets it; a folder is published once
    a start        row says `started` with the order,   an order whose attempt is neither begun nor alive never came
                   process, row has the handle          to be, or died at once: back into the line, with a new order
    an end         folder, row says `ended`             a folder that is over ends its job
    cancelling     row wants it, folder, row `ended`    what is wanted stays in the row until the folder is over
    one more try   row says `waiting`                   one step

A process that starts late, by an order that was given up meanwhile, finds the run held or its number passed
(`runs.begin`) and ends. So no run is ever begun twice at a time, and whatever is over stays over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from glassbox.errors import BadInput
from glassbox.workshop.database.tables import JobRow
from glassbox.workshop.jobs.launchers.interface import AttemptOrder, Condition, Handle, Launcher
from glassbox.workshop.jobs.publishing import OriginGone, publish
from glassbox.workshop.jobs.queue import Queue
from glassbox.workspace import Run, Workspace
from glassbox.workspace.attempt_requests import request_made
from glassbox.workspace.run import Problem
from glassbox.workspace.saved_steps import saved_steps
from glassbox.workspace.states import FINAL, HELD_BY_A_PROCESS, RESUMABLE

GRACE = 30.0  # seconds for a process to end after its run is over, or to hear that the run is given up
UNSEEN = 60.0  # seconds until an attempt that can't be seen from here is taken for one that never began

_log = logging.getLogger("glassbox.workshop.jobs")


class Attendant:
    """Looks after jobs whose leases this server holds."""

    def __init__(self, workspace: Workspace, queue: Queue, launchers: Mapping[str, Launcher]) -> None:
        self._workspace = workspace
        self._queue = queue
        self._launchers = launchers

    def attend(self, job: JobRow) -> None:
        """Do what is to be done just now. Raises DatabaseAway, and BadInput if the disk refuses."""
        if job.state == "new":
            self._publish(job)
            return
        try:
            run = Run.read(self._workspace.runs.folder / job.run)
        except BadInput as damage:
            self._queue.end(job, note=damage.problem[:500])
            return
        if job.state == "waiting":
            self._attend_waiting(job, run)
        else:
            self._attend_started(job, run)

    def started(self, job: JobRow, order: AttemptOrder) -> None:
        """Carry out an order that stands in the row."""
        try:
            handle = self._launchers[job.launcher].start(order)
        except BadInput as error:
            self._fail(job, order, Problem(problem=error.problem, remedy=error.remedy))
        else:
            self._queue.change(job, handle=handle.model_dump_json())

    def new_order(self, job: JobRow, gpus: tuple[int, ...], token: str) -> AttemptOrder | None:
        """The next attempt at a run; None if it can't begin: it is over, or someone else is at work on it."""
        try:
            run = Run.read(self._workspace.runs.folder / job.run)
        except BadInput:
            return None
        if run.state not in {*RESUMABLE, "queued"}:
            return None
        job.saved = max(saved_steps(run.checkpoints), default=None)
        return AttemptOrder(
            workspace=self._workspace.folder,
            run=job.run,
            attempt=run.status.attempt + 1,
            token=token,
            processes=job.processes,
            threads=max(1, job.threads // job.processes),
            gpus=gpus,
            from_checkpoint=job.from_checkpoint,
        )

    def _publish(self, job: JobRow) -> None:
        try:
            publish(self._workspace, job)
        except OriginGone as gone:
            self._queue.end(job, note=gone.problem[:500])
            return
        except BadInput as error:
            _log.error("the run %s cannot be made: %s", job.run, error)
            return  # the disk may take it later
        self._queue.change(job, state="waiting")

    def _attend_waiting(self, job: JobRow, run: Run) -> None:
        state = run.state
        if state in FINAL:
            self._queue.end(job)
        elif state in HELD_BY_A_PROCESS:
            self._queue.end(job, note="Someone else is at work on it, such as the command line.")
        elif job.wanted == "cancel":
            self._cancel(job, run)

    def _attend_started(self, job: JobRow, run: Run) -> None:
        order = AttemptOrder.model_validate_json(job.order or "")
        launcher = self._launchers[job.launcher]
        handle = self._handle(job, order, launcher)
        condition = Condition("gone") if handle is None else launcher.look(handle)
        state, begun = run.state, run.status.attempt >= order.attempt
        if begun and state not in HELD_BY_A_PROCESS:
            ended = run.status.ended  # None: the process that held it was killed, and others are left behind
            if condition.state == "alive" and handle is not None:
                if ended is not None and time.time() - ended.timestamp() < GRACE:
                    return  # it is saying goodbye
                launcher.kill(handle)
            self._attend_over(job, run)
        elif begun or condition.state == "alive":
            self._tell(job, run, order, launcher, handle)
        elif condition.state == "gone":
            self._attend_unbegun(job, run, order, condition.exit_code)
        elif time.time() - (job.started or 0.0) > UNSEEN:
            self._queue.requeue(job, job.kills + 1, "Its last start was never heard of again.")

    def _handle(self, job: JobRow, order: AttemptOrder, launcher: Launcher) -> Handle | None:
        if job.handle is not None:
            return Handle.model_validate_json(job.handle)
        handle = launcher.find(order)
        if handle is not None:
            self._queue.change(job, handle=handle.model_dump_json())
        return handle

    def _tell(self, job: JobRow, run: Run, order: AttemptOrder, launcher: Launcher, handle: Handle | None) -> None:
        """Let the process know what a person wants of it; look whether it did so."""
        asked = request_made(run.folder, order.attempt)
        known = handle or Handle(launcher=job.launcher, order=order)  # requests are files: any handle will do
        if job.wanted == "cancel":
            if asked != "cancel":
                launcher.ask_to_cancel(known)
            if time.time() - job.wanted_since > GRACE and handle is not None:
                launcher.kill(handle)  # it didn't listen; the next look finds the run interrupted, and cancels it
        elif job.wanted == "pause":
            if asked is None:
                launcher.pause(known)
            if run.state == "paused" and not job.parked:
                self._queue.change(job, parked=True)
        elif asked == "pause" and not job.parked:
            launcher.go_on(known)
        if job.from_checkpoint is not None and run.status.attempt >= order.attempt:
            self._queue.change(job, from_checkpoint=None)  # a further attempt goes on from what this one saves

    def _attend_over(self, job: JobRow, run: Run) -> None:
        """The attempt has begun, and no process is at work on it any more."""
        if run.state != "interrupted":
            self._queue.end(job)
        elif job.wanted == "cancel":
            self._cancel(job, run)
        else:
            got_on = max(saved_steps(run.checkpoints), default=-1) > (-1 if job.saved is None else job.saved)
            kills = 1 if got_on else job.kills + 1
            if job.from_checkpoint is not None:
                self._queue.change(job, from_checkpoint=None)
            if kills > job.retries:
                times = "once" if kills == 1 else f"{kills} times"
                self._queue.end(job, f"Its process was killed {times} since it last saved a checkpoint. Resume it.")
            else:
                self._queue.requeue(job, kills, f"Attempt {run.status.attempt} was cut short; it goes on by itself.")

    def _attend_unbegun(self, job: JobRow, run: Run, order: AttemptOrder, exit_code: int | None) -> None:
        """The attempt was ordered, and nobody has begun it."""
        if job.wanted == "cancel":
            self._cancel(job, run)
        elif run.state in HELD_BY_A_PROCESS or run.state in FINAL:
            self._queue.end(job, note="Someone else is at work on it, such as the command line.")
        elif job.kills + 1 <= job.retries:
            self._queue.requeue(job, job.kills + 1, "Its process ended before it had begun; it is started again.")
        else:
            code = "" if exit_code is None else f" with the code {exit_code}"
            problem = f"Its process ended{code} before it had begun, {job.kills + 1} times."
            self._fail(job, order, Problem(problem=problem, remedy="Read what it printed: its log tells."))

    def _fail(self, job: JobRow, order: AttemptOrder, problem: Problem) -> None:
        """Say in the folder that this attempt couldn't even begin."""
        runs = self._workspace.runs
        try:
            runs.begin(runs.get(job.run), order.attempt).end("failed", problem=problem)
        except BadInput as error:
            _log.warning("the run %s did begin, or is held: %s", job.run, error)
            return  # the next look shows what became of it
        self._queue.end(job)

    def _cancel(self, job: JobRow, run: Run) -> None:
        if run.state in ("queued", "interrupted"):
            try:
                self._workspace.runs.cancel(run.id)
            except BadInput as error:
                _log.warning("the run %s cannot be cancelled just now: %s", job.run, error)
                return  # someone began it, or ended it, in this very moment
        self._queue.end(job)
