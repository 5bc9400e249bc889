"""The process that serves one model: its socket, its life, and its end.

A parent that started it finds it through a file that appears when it answers, and needn't remember to end it: it ends
when the parent's end of its standard input closes, whatever became of the parent.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from glassbox.errors import BadInput
from glassbox.serving.app import create_app
from glassbox.serving.guard import is_loopback
from glassbox.serving.served_model import ServedModel, find
from glassbox.serving.service import Service
from glassbox.workspace import atomic
from glassbox.workspace.faults import disk_faults_as_bad_input

DRAINING = 10  # seconds that running answers have when the process is told to end
WAITING = 256  # prompts that may wait for a row
CONNECTIONS = 1024
KEEP_ALIVE = 75  # seconds that an idle connection is kept: longer than clients keep theirs, so that none is cut off
SHORTEST_KEY = 16


@dataclass(frozen=True)
class ServerSettings:
    """model:          an artifact's name, or a model's folder.
    host, port:     where to listen; port 0 takes any that is free.
    rows:           answers written side by side.
    key:            what every request must bear; needed where others can reach the server.
    name:           what requests call the model; by default its own name.
    ready_file:     written with {"port", "pid"} as soon as requests are answered.
    end_with_stdin: end when standard input does.
    """

    model: str
    host: str = "127.0.0.1"
    port: int = 8000
    rows: int = 16
    key: str | None = None
    name: str | None = None
    workspace: Path | None = None
    ready_file: Path | None = None
    end_with_stdin: bool = False


def serve(settings: ServerSettings, ready: Callable[[ServedModel, str], None]) -> None:
    """Serve until told to end. ready: called once with the model and its address.

    Raises BadInput for a host without a key that others can reach, an address that can't be had, and a model that
    can't be served.
    """
    local = is_loopback(settings.host)
    _check_key(settings, local=local)
    server: _Server | None = None

    def end() -> None:
        if server is None:  # still loading: nobody is being answered
            os._exit(0)
        server.should_exit = True
        time.sleep(DRAINING + 5)  # the process ends in the meantime, and this thread with it
        os._exit(1)

    if settings.end_with_stdin:
        threading.Thread(target=_end_with_stdin, args=(end,), name="parent", daemon=True).start()
    with _bound(settings) as listener:
        threads = _leave_threads_to_the_batcher()
        model = ServedModel(find(settings.model, settings.workspace, settings.name))
        service = Service(model, rows=settings.rows, waiting=WAITING, threads=threads, process_id=os.getpid())
        address = _address(settings.host, listener)

        def answers() -> None:
            if settings.ready_file is not None:
                told = json.dumps({"port": listener.getsockname()[1], "pid": os.getpid()})
                _tell(settings.ready_file, told)
            ready(model, address)

        config = uvicorn.Config(
            create_app(service, key=settings.key, local=local),
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=DRAINING,
        )
        gc.collect()
        gc.freeze()  # what is there now stays: to look at all of it once more would stop every chat for 0.2 s
        server = _Server(config, answers)
        server.run(sockets=[listener])
        if server.fault is not None:
            raise server.fault


class _Server(uvicorn.Server):
    """Tells when it answers, and ends quietly when it is asked to."""

    def __init__(self, config: uvicorn.Config, answers: Callable[[], None]) -> None:
        super().__init__(config)
        self.fault: BadInput | None = None
        self._answers = answers

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        try:
            self._answers()
        except BadInput as fault:  # nobody would find it: it ends in order, and says why
            self.fault, self.should_exit = fault, True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # pyright: ignore[reportIncompatibleMethodOverride]  (wider than needed)
        """To be asked to end is no failure: unlike uvicorn's own, this doesn't raise the signal again afterwards."""
        asked = (signal.SIGINT, signal.SIGTERM)
        before = {one: signal.signal(one, self.handle_exit) for one in asked}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def _tell(ready_file: Path, told: str) -> None:
    try:
        with disk_faults_as_bad_input(ready_file):
            atomic.write_file(ready_file, told.encode())
    except OSError as error:
        raise BadInput(f"{ready_file} can't be written: {error.strerror}.", "Choose another --ready-file.") from None


def _leave_threads_to_the_batcher() -> int:
    """How many threads may compute. From here on this one does so alone: each thread that computes with OpenMP gets
    helpers of its own, and as soon as there are more of them than cores, all of them sleep between any two operations.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    return threads


def _check_key(settings: ServerSettings, *, local: bool) -> None:
    if settings.key is not None and (len(settings.key) < SHORTEST_KEY or not settings.key.isascii()):
        raise BadInput(
            f"The key has {len(settings.key)} characters.",
            f"Take {SHORTEST_KEY} or more, of ASCII: openssl rand -hex 32.",
        )
    if settings.key is None and not local:
        raise BadInput(
            f"At {settings.host} others can reach the server, and it has no key.",
            "Set $GLASSBOX_SERVING_KEY, or listen at 127.0.0.1.",
        )


@contextlib.contextmanager
def _bound(settings: ServerSettings) -> Iterator[socket.socket]:
    """The socket, taken before the model is loaded, so that a taken port is told at once."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise BadInput(f"There is no address {settings.host}: {error.strerror}.", "Choose another --host.") from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except (OSError, OverflowError) as error:
            raise BadInput(
                f"Port {settings.port} of {settings.host} can't be had: {getattr(error, 'strerror', None) or error}.",
                "Choose another with --port; 0 takes any that is free.",
            ) from None
        yield listener


def _address(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def _end_with_stdin(end: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    end()
