"""Looks into files that people brought, each in a process of its own that may fail or fall without harm."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading

from pydantic import ValidationError

from glassbox.data.inspection import Inspection
from glassbox.errors import BadInput
from glassbox.workshop.child_environment import child_environment
from glassbox.workshop.uploads.check_process import CheckAnswer, CheckRequest

WHOLE_SECONDS = 3600.0
PREVIEW_SECONDS = 30.0
_log = logging.getLogger("glassbox.workshop.uploads")


class CheckFault(Exception):  # noqa: N818  (it isn't the person's error)
    """The process failed for a reason that isn't the file's."""


class Stopped(Exception):  # noqa: N818  (nothing went wrong)
    """The server is being stopped; the file is looked into when it starts again."""


class Checker:
    """Runs check processes; `stop` ends those that are at work."""

    def __init__(self) -> None:
        self._at_work: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def check(self, request: CheckRequest) -> Inspection:
        """What is in the file.

        Raises BadInput for a file that can't be read, CheckFault if that isn't its fault, and Stopped.
        """
        name = request.path.name
        seconds = WHOLE_SECONDS if request.whole else PREVIEW_SECONDS
        process = self._started()
        try:
            said, complained = process.communicate(request.model_dump_json().encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise BadInput(f"{name} takes more than {seconds:g} seconds to read.", "Bring it in parts.") from None
        finally:
            process.kill()
            process.wait()
            with self._lock:
                self._at_work.discard(process)
        if self._stopped:
            raise Stopped
        if process.returncode < 0:
            fell = signal.Signals(-process.returncode).name
            raise BadInput(
                f"{name} can't be read: its reader was ended by {fell}.",
                "Don't trust this file; make it again from texts that you know.",
            )
        return _told(process.returncode, said, complained)

    def stop(self) -> None:
        """End what is at work; nothing more is looked into."""
        with self._lock:
            self._stopped = True
            for process in self._at_work:
                process.kill()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise Stopped
            process = subprocess.Popen(
                [sys.executable, "-m", "glassbox.workshop.uploads.check_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=child_environment(os.environ, threads=1),
            )
            self._at_work.add(process)
            return process


def _told(code: int, said: bytes, complained: bytes) -> Inspection:
    try:
        answer = CheckAnswer.model_validate_json(said)
    except ValidationError:
        _log.error("a check failed (%s): %s", code, complained.decode(errors="replace")[-4000:])
        raise CheckFault("the file could not be looked into") from None
    if answer.inspection is None:
        raise BadInput(answer.problem or "It can't be read.", answer.remedy or "Bring another file.")
    return answer.inspection
