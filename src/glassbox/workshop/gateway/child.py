"""One process that serves one model, from its start to its end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO

from glassbox.serving.protocol.health import Health
from glassbox.workshop.child_environment import child_environment
from glassbox.workshop.gateway import commands, tether
from glassbox.workshop.gateway.target import Target

_LINES, _LONGEST_LINE = 200, 2000
_BAD_INPUT = 2  # the exit code of something that a person must put right


class Child:
    """Started when made. Raises BadInput if that can't be tried, and OSError if this machine starts no more processes.

    changed: called, by a thread of this object's own, when the process has ended.

    It has no file of ours, no secret but the key that its requests must bear, and a process group of its own; it ends
    when we do (`tether.py`).
    """

    def __init__(self, target: Target, workspace: Path, changed: Callable[[], None]) -> None:
        self.target = target
        self.key = secrets.token_urlsafe(32)
        self.started = time.monotonic()
        self.in_flight = 0
        self.health: Health | None = None
        self.misses = 0
        self._changed = changed
        self._counting = threading.Lock()
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._port: int | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="glassbox-model-")
        self._port_file = Path(self._folder.name) / "port.json"
        try:
            self._process = self._start(workspace)
        except BaseException:
            self._folder.cleanup()
            raise
        assert self._process.stdout is not None
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True, name="output").start()

    @property
    def port(self) -> int | None:
        """Where it listens on 127.0.0.1; None until it has said so."""
        if self._port is None:
            with contextlib.suppress(OSError, ValueError, KeyError):
                self._port = int(json.loads(self._port_file.read_bytes())["port"])
        return self._port

    @property
    def lines(self) -> list[str]:
        """The last lines that it wrote."""
        return list(self._lines)

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    @property
    def needs_a_person(self) -> bool:
        """Did it end in a way that starting it again cannot help?"""
        return self.exit_code == _BAD_INPUT

    def why_it_ended(self) -> str:
        """A sentence. Only for one that has ended."""
        code = self.exit_code
        assert code is not None, "it is alive"
        said = " ".join(line.strip() for line in self.lines[-12:] if line.strip())
        if code == _BAD_INPUT and said:
            return said[-800:]
        killed = code - 128 if code > 128 else -code
        if killed > 0:
            name = signal.Signals(killed).name if killed in set(signal.Signals) else str(killed)
            memory = " The system does so when memory runs out." if killed == signal.SIGKILL else ""
            return f"The model's process was killed by {name}.{memory}"
        last = f" Its last words: {said[-300:]}" if said else ""
        return f"The model's process ended with exit code {code}.{last}"

    # What it is asked

    def look(self, within: float) -> bool:
        """Ask it how it is: does it answer, and is it well? `health` is what glassbox's own process tells."""
        body = self.ask("/health", within)
        if body is None:
            self.misses += 1
            return False
        self.misses = 0
        with contextlib.suppress(ValueError):  # vLLM says it by the status alone
            self.health = Health.model_validate_json(body)
        return True

    def ask(self, path: str, within: float) -> bytes | None:
        """The body of a small answer; None unless it is a 200 that came within so many seconds."""
        if self.port is None:
            return None
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=within)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.key}"})
            answer = connection.getresponse()
            body = answer.read(1 << 20)
            return body if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    @contextlib.contextmanager
    def answering(self) -> Generator[None]:
        """While a request is with it, so that it isn't ended under it."""
        with self._counting:
            self.in_flight += 1
        try:
            yield
        finally:
            with self._counting:
                self.in_flight -= 1

    def memory(self) -> int:
        """Bytes that it and whatever it started hold."""
        import psutil

        total = 0
        with contextlib.suppress(psutil.Error):
            leader = psutil.Process(self._process.pid)
            for process in (leader, *leader.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        return total

    # Its end

    def ask_to_end(self) -> None:
        """Let it finish what it is answering, for some seconds, and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and whatever it started, at once."""
        self._signal(signal.SIGKILL)

    def forget(self) -> None:
        """Reap it, and clear away what it left. Only for one that has ended."""
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._signal(signal.SIGKILL)  # what it started, should any of that be left
        self._folder.cleanup()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _start(self, workspace: Path) -> subprocess.Popen[bytes]:
        target = self.target
        environment = child_environment(os.environ, threads=target.threads)
        environment[commands.KEY_VARIABLES[target.engine]] = self.key
        if target.engine == "vllm":
            environment |= {name: value for name, value in os.environ.items() if name.startswith("VLLM_")}
            environment[commands.KEY_VARIABLES["vllm"]] = self.key
        environment["COLUMNS"] = str(_LONGEST_LINE)  # sentences for a person come whole
        return subprocess.Popen(
            [
                *(sys.executable, "-m", tether.MODULE, self._folder.name),
                *commands.command(target, workspace, self._port_file),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=workspace,
            start_new_session=True,
        )

    def _read(self, output: IO[bytes]) -> None:
        """Keep its last lines. A pipe, and not a file, so that a process that writes without end fills no disk."""
        with output:
            while line := output.readline(_LONGEST_LINE):
                self._lines.append(line.decode("utf-8", "replace").rstrip("\n"))
        self._process.wait()
        self._changed()
