"""Runs, as the rest of the workshop speaks of them: submit, wait, cancel, recover, check; and pause, resume, forget.

Whatever a person asks for is written down first and done then, by whichever server looks after the run. What is over
stays over: no verb here leads away from `finished` or `cancelled`.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from glassbox.errors import BadInput
from glassbox.workshop.database import Database
from glassbox.workshop.database.database import DatabaseAway
from glassbox.workshop.database.tables import JobRow
from glassbox.workshop.jobs.attending import Attendant
from glassbox.workshop.jobs.launchers.interface import AttemptOrder, Launcher
from glassbox.workshop.jobs.publishing import publish
from glassbox.workshop.jobs.queue import LEASE, Queue
from glassbox.workshop.jobs.slots import Slots
from glassbox.workshop.jobs.states import AT_REST, ShownState, Wanted, is_live, shown_state, told
from glassbox.workspace import Run, Workspace
from glassbox.workspace.processes import Process

_log = logging.getLogger("glassbox.workshop.jobs")
_POLL = 0.05  # seconds between two looks of `wait`


@dataclass(frozen=True)
class Check:
    """How a run is just now. position: 1 for the first in line."""

    run: Run
    job: JobRow | None
    state: ShownState
    why: str | None
    position: int | None


class Executor:
    """The runs of one workspace, as one server looks after them."""

    def __init__(
        self,
        workspace: Workspace,
        database: Database,
        launchers: Mapping[str, Launcher],
        slots: Slots,
        *,
        holder: Process | None = None,
        lease: float = LEASE,
    ) -> None:
        self.workspace = workspace
        self.slots = slots
        self.queue = Queue(database, holder or Process.current(), slots, lease)
        self.something_to_do = threading.Event()
        self._launchers = launchers
        self._attendant = Attendant(workspace, self.queue, launchers)
        self._lock = threading.Lock()  # one look at a job at a time
        self._starting: set[str] = set()  # runs whose processes this server is starting; that may take a while

    def submit(self, job: JobRow) -> JobRow:
        """Take a new run into the queue; gives the job that has its key already, if there is one.

        Raises BadInput if the disk refuses (then nothing is left of it), and DatabaseAway.
        """
        with self._lock:
            known = self.queue.add(job)
            if known is not job:
                return known
            try:
                publish(self.workspace, job)
            except BadInput:
                self.queue.forget(job.run, state="new")
                raise
        self.settle(job.run)
        self.something_to_do.set()
        return job

    def submit_again(self, job: JobRow) -> bool:
        """Take a run that is there already back into the queue; False if it is in it."""
        added = self.queue.add_again(job)
        self.something_to_do.set()
        return added

    def wait(self, run: str, seconds: float) -> Check:
        """Until it is at rest, or that much time has passed. Raises BadInput if there is no such run."""
        deadline = time.monotonic() + seconds
        while (now := self.check(run)).state not in AT_REST or is_live(now.job):
            if time.monotonic() >= deadline:
                break
            time.sleep(_POLL)
        return now

    def check(self, run: str) -> Check:
        """How it is. Raises BadInput if there is no such run, or if its folder is damaged."""
        return self.check_of(Run.read(self.workspace.runs.folder_of(run)))

    def check_of(self, found: Run) -> Check:
        """How a run is that was read just now."""
        job = self.queue.get(found.id)
        line, allotment = self.queue.outlook() if is_live(job) else ([], None)
        shown = shown_state(found.state, found.status.attempt, job)
        why = told(shown, job, None if allotment is None else allotment.waits.get(found.id))
        return Check(found, job, shown, why, line.index(found.id) + 1 if found.id in line else None)

    def want(self, run: str, wanted: Wanted) -> bool:
        """Pause it, let it go on, or give it up for good; False if nobody looks after it."""
        known = self.queue.want(run, wanted)
        self.settle(run)
        self.something_to_do.set()
        return known

    def cancel(self, run: str) -> None:
        """Give a run up for good. Raises BadInput if it is over, or if it is someone's at the command line."""
        if not self.want(run, "cancel"):
            self.workspace.runs.cancel(run)

    def close(self) -> None:
        """The server ends: leave all jobs to whoever comes next. Their runs go on by themselves."""
        try:
            self.queue.release()
        except DatabaseAway:
            _log.warning("the database is away; the leases run out by themselves")
        for launcher in self._launchers.values():
            launcher.close()

    def settle(self, run: str) -> None:
        """Do now what is to be done about one run, if this server looks after it."""
        with self._lock:
            for job in self.queue.take(run):
                self._attend(job)

    def settled(self, run: str, seconds: float) -> Check:
        """How it is once all that is due was done about it.

        A run that is over, and whose processes are about to end, is waited for so long. Raises BadInput if there is no
        such run.
        """
        deadline = time.monotonic() + seconds
        while True:
            self.settle(run)
            now = self.check(run)
            if now.state not in AT_REST or not is_live(now.job) or time.monotonic() >= deadline:
                return now
            time.sleep(_POLL)

    def recover(self) -> None:
        """What a server does first: look after all that lives on, goes on, or was left between two steps."""
        self.attend_all()

    def attend_all(self) -> None:
        """One look at every job whose lease is ours or free. Raises DatabaseAway."""
        for job in self.queue.take():
            with self._lock:
                self._attend(job)

    def start_next(self) -> None:
        """Start all that fit now. Raises DatabaseAway."""
        if not self.queue.outlook()[1].starts:
            return
        with self._lock:
            placement = self.queue.place_next(self._new_order)
            self._starting |= {job.run for job, _ in placement.ordered}
        try:
            for job, order in placement.ordered:
                self._start(job, order)
        finally:
            self._starting.clear()
        for run in placement.unparked:
            self.settle(run)

    def _start(self, job: JobRow, order: AttemptOrder) -> None:
        try:
            self._attendant.started(job, order)
        except DatabaseAway:
            raise
        except Exception:
            _log.exception("starting the run %s went wrong", job.run)
        finally:
            self._starting.discard(job.run)

    def _new_order(self, job: JobRow, gpus: tuple[int, ...]) -> AttemptOrder | None:
        return self._attendant.new_order(job, gpus, secrets.token_hex(16))

    def _attend(self, job: JobRow) -> None:
        if job.run in self._starting:
            return
        try:
            self._attendant.attend(job)
        except DatabaseAway:
            raise
        except Exception:  # one job's trouble isn't that of the others; the next look tries again
            _log.exception("looking after the run %s went wrong", job.run)
