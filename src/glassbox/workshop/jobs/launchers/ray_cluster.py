"""The Ray cluster that runs are given to: one that is there, or one of this machine that is started when needed.

The one of this machine listens on loopback alone, takes nothing from whoever hasn't its token (Ray's token
authentication, since 2.52), tells nobody that it exists, and goes on when the server is killed. What is needed to find
it again is in `ray/cluster.json` in the workspace.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from glassbox.errors import BadInput
from glassbox.workshop.child_environment import child_environment
from glassbox.workshop.jobs.launchers.bearers import TOKEN_VARIABLE, bearers, kill_bearers
from glassbox.workspace import atomic
from glassbox.workspace.faults import disk_faults_as_bad_input

OLDEST = (2, 52)
STARTING = 90.0  # seconds that a cluster may take until it answers
OBJECT_STORE = 80_000_000  # bytes; the least that Ray takes: runs exchange nothing through it


class RayCluster(ABC):
    """Where jobs are submitted to."""

    python: str
    """The program that starts Python on its machines."""

    @abstractmethod
    def ready(self) -> httpx.Client:
        """A connection to it; starts it if that is ours to do. Raises BadInput if there is none."""

    @abstractmethod
    def connection(self) -> httpx.Client | None:
        """A connection to it as it is; None if it isn't there and won't come back."""

    @abstractmethod
    def stop(self) -> None:
        """End it, with every run that it has at work, if it is ours."""


class RemoteRayCluster(RayCluster):
    """A cluster that somebody else looks after. It sees the workspace under the same path, and has Glassbox installed.

    address: of its dashboard, such as https://head:8265. token: what `ray get-auth-token` says there.
    """

    def __init__(self, address: str, token: str | None = None, python: str = "python") -> None:
        if not address.startswith(("http://", "https://")):
            raise BadInput(
                f"{address!r} isn't the address of a Ray cluster's dashboard.", "Give one such as http://head:8265."
            )
        self.python = python
        self._client = _client(address, token)

    def ready(self) -> httpx.Client:
        return self._client

    def connection(self) -> httpx.Client:
        return self._client

    def stop(self) -> None:
        """Nothing: somebody else looks after it."""


class _Kept(BaseModel):
    """`cluster.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    address: str


class LocalRayCluster(RayCluster):
    """A cluster of this machine alone.

    folder: where it keeps its token and how it is found again. cpus, gpus: what it may give to runs.
    """

    python = sys.executable

    def __init__(self, folder: Path, *, cpus: int, gpus: int = 0) -> None:
        self.folder, self.cpus, self.gpus = folder, cpus, gpus
        self._file, self._token_file = folder / "cluster.json", folder / "token"
        self._lock = threading.Lock()

    def ready(self) -> httpx.Client:
        with self._lock:
            client = self.connection()
            if client is None:
                client = self._start()
            self._wait_for(client)
            return client

    def connection(self) -> httpx.Client | None:
        kept = self._kept()
        if kept is None or not any(bearers(kept.id)):
            return None
        return _client(kept.address, self._token_file.read_text())

    def stop(self) -> None:
        with self._lock:
            kept = self._kept()
            if kept is not None:
                for process in list(bearers(kept.id)):
                    process.send_signal(signal.SIGTERM)
                deadline = time.monotonic() + 5
                while any(bearers(kept.id)) and time.monotonic() < deadline:
                    time.sleep(0.1)
                kill_bearers(kept.id)
                shutil.rmtree(_temporary(kept), ignore_errors=True)
            self._file.unlink(missing_ok=True)

    def _kept(self) -> _Kept | None:
        try:
            return _Kept.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            return None

    def _start(self) -> httpx.Client:
        _require_ray()
        kept = _Kept(id=f"ray-{secrets.token_hex(8)}", address=f"http://127.0.0.1:{_free_port()}")
        with disk_faults_as_bad_input(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            atomic.write_file(self._token_file, secrets.token_hex(32).encode())
            self._token_file.chmod(0o600)
            atomic.write_file(self._file, kept.model_dump_json().encode())  # before it is started: it can be found then
            with (self.folder / "output.log").open("wb") as log:
                subprocess.Popen(
                    self._command(kept),
                    env=self._environment(kept),
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        return _client(kept.address, self._token_file.read_text())

    def _command(self, kept: _Kept) -> list[str]:
        return [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
            *("--port=0", "--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={kept.address.rpartition(':')[2]}"),
            *(f"--ray-client-server-port={_free_port()}", "--include-log-monitor=false"),
            *(f"--num-cpus={self.cpus}", f"--num-gpus={self.gpus}", f"--object-store-memory={OBJECT_STORE}"),
            f"--temp-dir={_temporary(kept)}",
        ]

    def _environment(self, kept: _Kept) -> dict[str, str]:
        return child_environment(os.environ, threads=None) | {
            TOKEN_VARIABLE: kept.id,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self._token_file),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Without a cluster of several machines Ray takes 127.0.0.1 for this machine's address, and listens there.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }

    def _wait_for(self, client: httpx.Client) -> None:
        """Until it takes jobs. Raises BadInput if it doesn't come."""
        deadline = time.monotonic() + STARTING
        while time.monotonic() < deadline and self.connection() is not None:
            try:
                if client.get("/api/jobs/").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        kept = self._kept()
        if kept is not None:
            kill_bearers(kept.id)
        raise BadInput(
            "The Ray cluster of this machine did not start.",
            f"What it said is in {self.folder / 'output.log'}; else choose the launcher local or torchrun.",
        )


def _temporary(kept: _Kept) -> Path:
    """Where Ray keeps sockets and logs. A short path, because the system takes no long one for a socket."""
    return Path(tempfile.gettempdir()) / kept.id


def _require_ray() -> None:
    """Raises BadInput where Ray isn't installed, or is too old to ask for a token."""
    try:
        found = version("ray")
    except PackageNotFoundError as error:
        raise BadInput(
            "The launcher ray needs Ray, which isn't installed.", "Install it with: pip install 'glassbox-llm[ray]'."
        ) from error
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
        raise BadInput(
            f"Ray {found} takes commands from anybody; {OLDEST[0]}.{OLDEST[1]} is the first that asks for a token.",
            "Upgrade it with: pip install --upgrade 'ray[default]'.",
        )


def _client(address: str, token: str | None) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=address, headers=headers, timeout=30, trust_env=False)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
