"""The thread of a server that works off the queue, for as long as the server lives.

If the database is away it waits and goes on: what runs does so by itself meanwhile, and nothing is forgotten, because
nothing is remembered here.
"""

from __future__ import annotations

import logging
import threading

from glassbox.workshop.database.database import DatabaseAway
from glassbox.workshop.jobs.executor import Executor

EVERY = 0.5  # seconds between two looks, unless something was asked for
WHILE_AWAY = 1.0  # seconds until the database is tried again

_log = logging.getLogger("glassbox.workshop.jobs")


class Scheduler:
    """Looks after the jobs of an executor from `start` to `stop`."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._over = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._work, name="scheduler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let go of all jobs; their runs go on by themselves. Returns when the thread is gone."""
        self._over.set()
        self._executor.something_to_do.set()
        if self._thread.ident is not None:  # it was started
            self._thread.join()
        self._executor.close()

    def _work(self) -> None:
        while not self._over.is_set():
            self._executor.something_to_do.clear()
            pause = EVERY if self._look() else WHILE_AWAY
            self._executor.something_to_do.wait(pause)

    def _look(self) -> bool:
        """One look at everything; False if the database is away."""
        try:
            self._executor.attend_all()
            self._executor.start_next()
        except DatabaseAway as error:
            if not self._away:
                _log.error("the database is away, and runs that wait go on waiting: %s", error)
            self._away = True
            return False
        except Exception:
            _log.exception("a fault of the scheduler; it goes on")
            return True
        if self._away:
            _log.warning("the database is back")
        self._away = False
        return True
