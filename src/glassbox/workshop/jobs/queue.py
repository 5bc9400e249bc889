"""The rows of the queue, and every change to them; each method is one short transaction.

Leases. A server that looks after a job holds a lease on it: its name and a time in the row, renewed while it lives. No
other server touches the job meanwhile. A lease is over when its time has passed, or at once when its holder is known
to be dead (a process of this machine that is gone), so that a server that was killed and started again goes straight
on. A server that slept through its lease (a suspended laptop) may wake up and still believe that it holds it. So
whatever it writes is written only if the row still says that it does (`change`), and what it starts is settled by
`runs.begin`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select

from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import JobRow, OwnerRow
from glassbox.workshop.jobs.launchers.interface import AttemptOrder
from glassbox.workshop.jobs.slots import Allotment, Holding, InLine, Slots, Takes, allot
from glassbox.workshop.jobs.states import Wanted
from glassbox.workspace.processes import Process

LEASE = 15.0  # seconds; renewed when half of it is over
_LIVE = select(JobRow).where(JobRow.state != "ended").order_by(JobRow.priority.desc(), JobRow.queued, JobRow.run)

NewOrder = Callable[[JobRow, tuple[int, ...]], AttemptOrder | None]
"""What to order for a job with these GPUs; None if it can't be begun now."""


@dataclass(frozen=True)
class Placement:
    """What one look at the line led to."""

    ordered: list[tuple[JobRow, AttemptOrder]]
    unparked: list[str]


class Queue:
    """The queue as one server sees it. holder: the server's process. slots: what its machine has for runs."""

    def __init__(self, database: Database, holder: Process, slots: Slots, lease: float = LEASE) -> None:
        self.slots = slots
        self.place = holder.place
        self._database = database
        self._name = holder.model_dump_json()
        self._lease = lease

    # What there is

    def get(self, run: str) -> JobRow | None:
        with self._database.reading() as session:
            return session.get(JobRow, run)

    def live(self) -> list[JobRow]:
        """All that aren't ended, in the order of their turns."""
        with self._database.reading() as session:
            return list(session.scalars(_LIVE))

    def jobs(self) -> dict[str, JobRow]:
        """All, by run."""
        with self._database.reading() as session:
            return {job.run: job for job in session.scalars(select(JobRow))}

    def by_key(self, user: str, key: str) -> JobRow | None:
        """What this person asked for with this key."""
        with self._database.reading() as session:
            return session.scalar(_with_key(user, key))

    def outlook(self) -> tuple[list[str], Allotment]:
        """Who is in line, first to last, and what each waits for as things are."""
        rows = self.live()
        line = _line(rows, self.place)
        return [one.run for one in line], allot(self.slots, _held(rows, self.place), line)

    # What a person asks for

    def add(self, job: JobRow) -> JobRow:
        """Put a job into the queue, and let it belong to its user. Gives the one that has its key already, if any."""
        with self._database.writing() as session:
            if job.idempotency_key is not None:
                earlier = session.scalar(_with_key(job.user, job.idempotency_key))
                if earlier is not None:
                    return earlier
            session.add(job)
            if session.get(OwnerRow, ("run", job.run)) is None:
                session.add(OwnerRow(kind="run", id=job.run, user=job.user))
        return job

    def add_again(self, job: JobRow) -> bool:
        """Put a run that is there already back into the queue; False if it is in it. Keeps whose it is and its key."""
        with self._database.writing() as session:
            earlier = session.get(JobRow, job.run)
            if earlier is not None:
                if earlier.state != "ended":
                    return False
                job.user, job.idempotency_key, job.asked = earlier.user, earlier.idempotency_key, earlier.asked
                session.delete(earlier)
                session.flush()
            session.add(job)
            if session.get(OwnerRow, ("run", job.run)) is None:
                session.add(OwnerRow(kind="run", id=job.run, user=job.user))
        return True

    def want(self, run: str, wanted: Wanted) -> bool:
        """What a person wants of it from now on; False if it is ended. Nothing follows on `cancel`."""
        with self._database.writing() as session:
            job = session.get(JobRow, run)
            if job is None or job.state == "ended" or (job.wanted == "cancel" and wanted != "cancel"):
                return False
            if job.wanted != wanted:
                job.wanted, job.wanted_since = wanted, time.time()
        return True

    def prioritize(self, run: str, priority: int) -> bool:
        """False if it is ended."""
        with self._database.writing() as session:
            job = session.get(JobRow, run)
            if job is None or job.state == "ended":
                return False
            job.priority = priority
        return True

    def forget(self, run: str, state: str) -> bool:
        """Remove a job that is in this state, and whose it was; False if it is in another one."""
        with self._database.writing() as session:
            job = session.get(JobRow, run)
            if job is not None and job.state != state:
                return False
            session.execute(delete(JobRow).where(JobRow.run == run))
            session.execute(delete(OwnerRow).where(OwnerRow.kind == "run", OwnerRow.id == run))
        return True

    # What a server does about it

    def take(self, run: str | None = None) -> list[JobRow]:
        """Take or renew the leases on all live jobs (or on one of them) that nobody else holds; gives those held."""
        now = time.time()
        with self._database.reading() as session:
            rows = [job for job in session.scalars(_LIVE) if run in (None, job.run)]
        due = {job.run for job in rows if self._is_free(job, now) or self._is_half_over(job, now)}
        if due:
            with self._database.writing() as session:
                rows = [job for job in session.scalars(_LIVE) if run in (None, job.run)]
                for job in rows:
                    if job.run in due and (job.lease_holder == self._name or self._is_free(job, now)):
                        job.lease_holder, job.lease_expires = self._name, now + self._lease
        return [job for job in rows if job.lease_holder == self._name]

    def change(self, job: JobRow, **values: Any) -> bool:
        """Change a job that this server looks after, if it is still as it was read; False if it isn't."""
        with self._database.writing() as session:
            now = session.get(JobRow, job.run)
            if now is None or (now.state, now.order, now.lease_holder) != (job.state, job.order, self._name):
                return False
            for name, value in values.items():
                setattr(now, name, value)
        return True

    def end(self, job: JobRow, note: str | None = None) -> bool:
        """Nothing is left to do about it."""
        gone = {"order": None, "handle": None, "place": None, "parked": False, "from_checkpoint": None}
        over = {"lease_holder": None, "lease_expires": None, "ended": time.time()}
        return self.change(job, state="ended", note=note, **gone, **over)

    def requeue(self, job: JobRow, kills: int, note: str | None) -> bool:
        """Back into the line, where its priority and its age put it."""
        gone = {"order": None, "handle": None, "place": None, "parked": False}
        return self.change(job, state="waiting", kills=kills, note=note, **gone)

    def release(self) -> None:
        """Give all leases back: another server, or this one when it comes again, needn't wait for their end."""
        with self._database.writing() as session:
            for job in session.scalars(_LIVE.where(JobRow.lease_holder == self._name)):
                job.lease_holder = job.lease_expires = None

    def place_next(self, new_order: NewOrder) -> Placement:
        """Decide who may start or go on here, and write it down before anything is started.

        All in one transaction that no other writer comes between, so that two servers never give away the same slot,
        nor start the same run.
        """
        ordered: list[tuple[JobRow, AttemptOrder]] = []
        unparked: list[str] = []
        with self._database.writing() as session:
            rows = list(session.scalars(_LIVE))
            jobs = {job.run: job for job in rows}
            allotment = allot(self.slots, _held(rows, self.place), _line(rows, self.place))
            now = time.time()
            for run, gpus in allotment.starts.items():
                job = jobs[run]
                if job.parked:
                    job.parked = False
                    unparked.append(run)
                elif self._is_free(job, now) or job.lease_holder == self._name:
                    if (order := new_order(job, gpus)) is None:
                        continue
                    job.state, job.order, job.place, job.started = "started", order.model_dump_json(), self.place, now
                    job.handle = None
                    job.lease_holder, job.lease_expires = self._name, now + self._lease
                    ordered.append((job, order))
        return Placement(ordered, unparked)

    def _is_free(self, job: JobRow, now: float) -> bool:
        if job.lease_holder is None or job.lease_expires is None or job.lease_expires < now:
            return True
        return job.lease_holder != self._name and Process.model_validate_json(job.lease_holder).is_alive() is False

    def _is_half_over(self, job: JobRow, now: float) -> bool:
        return job.lease_holder == self._name and (job.lease_expires or 0.0) < now + self._lease / 2


def takes(job: JobRow) -> Takes:
    """What a job takes of its machine."""
    return Takes(job.threads, job.memory, job.gpus)


def _with_key(user: str, key: str) -> Any:
    return select(JobRow).where(JobRow.user == user, JobRow.idempotency_key == key)


def _held(rows: Iterable[JobRow], place: str) -> list[Holding]:
    """What is taken at this place."""
    started = [job for job in rows if job.state == "started" and job.place == place]
    orders = [AttemptOrder.model_validate_json(job.order or "") for job in started]
    return [
        Holding(takes(job), order.gpus or (), parked=job.parked) for job, order in zip(started, orders, strict=True)
    ]


def _line(rows: Iterable[JobRow], place: str) -> list[InLine]:
    """Who may go next here: those who want to go on after a pause, then those who haven't begun."""
    ready = [job for job in rows if job.wanted == "run"]
    parked = [InLine(job.run, Takes(job.threads, 0)) for job in ready if job.parked and job.place == place]
    return parked + [InLine(job.run, takes(job)) for job in ready if job.state == "waiting"]
