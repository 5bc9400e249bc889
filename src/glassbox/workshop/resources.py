"""What the machine is doing: processors, memory, disk and GPUs, looked at every few seconds and remembered for an hour.

One thread looks; whoever asks gets what it saw last. The history is in memory alone: it is for watching, not for books.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import psutil

from glassbox.workshop.jobs.slots import machine_memory

EVERY = 5.0  # seconds between two looks
REMEMBERED = 720  # looks: an hour
_FIRST_LOOK = 0.1  # seconds over which the first look measures the processors
_GPU_PATIENCE = 3.0  # seconds
_QUERY = "index,name,utilization.gpu,memory.used,memory.total,temperature.gpu"
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Gpu:
    """busy: share of the time in which it computed; None where it doesn't tell."""

    index: int
    name: str
    busy: float | None
    memory_used: int
    memory_total: int
    celsius: float | None


@dataclass(frozen=True)
class Look:
    """What was seen at a time. busy: share of all processors, and of each.

    memory_used is what can't be given to somebody else at once; own_memory that of this server, without its children.
    """

    time: float
    busy: float
    processors: tuple[float, ...]
    memory_used: int
    memory_total: int
    own_memory: int
    disk_used: int
    disk_total: int
    gpus: tuple[Gpu, ...]


class Resources:
    """folder: whose disk is looked at."""

    def __init__(self, folder: Path, *, every: float = EVERY, remembered: int = REMEMBERED) -> None:
        self._folder = folder
        self._every = every
        self._looks: deque[Look] = deque(maxlen=remembered)
        self._stopped = threading.Event()
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="resources", daemon=True)
        self._gpus_tell = shutil.which("nvidia-smi") is not None

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """No more looks after this."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def newest(self, patience: float = 5.0) -> Look | None:
        """What was seen last; right after the start it waits for the first look. None if there has been none."""
        self._first.wait(patience)
        return self._looks[-1] if self._looks else None

    def history(self, seconds: float) -> list[Look]:
        """What was seen within so many seconds before now, oldest first."""
        since = time.time() - seconds
        return [look for look in tuple(self._looks) if look.time >= since]

    def _watch(self) -> None:
        processors = psutil.cpu_percent(interval=_FIRST_LOOK, percpu=True)
        while True:
            with contextlib.suppress(OSError, psutil.Error):  # the disk is away for a moment: the next look may see it
                self._looks.append(self._look(processors))
            self._first.set()
            if self._stopped.wait(self._every):
                return
            processors = psutil.cpu_percent(percpu=True)

    def _look(self, processors: list[float]) -> Look:
        memory, disk = psutil.virtual_memory(), shutil.disk_usage(self._folder)
        shares = tuple(min(1.0, percent / 100) for percent in processors)
        total = machine_memory()
        return Look(
            time=time.time(),
            busy=sum(shares) / len(shares),
            processors=shares,
            memory_used=min(total, memory.total - memory.available),
            memory_total=total,
            own_memory=psutil.Process().memory_info().rss,
            disk_used=disk.used,
            disk_total=disk.total,
            gpus=gpus_now() if self._gpus_tell else (),
        )


def gpus_now() -> tuple[Gpu, ...]:
    """What NVIDIA's own program says of each; none where it doesn't answer."""
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_GPU_PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(gpu for line in told.stdout.splitlines() if (gpu := _gpu(line)) is not None)


def _gpu(line: str) -> Gpu | None:
    """`0, NVIDIA H100, 37, 1024, 81559, 41`; what a card doesn't tell is `[N/A]`."""
    words = [word.strip() for word in line.split(",")]
    if len(words) != len(_QUERY.split(",")):
        return None
    index, name, busy, used, total, celsius = words
    numbers = {key: _number(word) for key, word in (("index", index), ("used", used), ("total", total))}
    if None in numbers.values():
        return None
    percent = _number(busy)
    return Gpu(
        index=int(numbers["index"] or 0),
        name=name,
        busy=None if percent is None else percent / 100,
        memory_used=int(numbers["used"] or 0) * _MIB,
        memory_total=int(numbers["total"] or 0) * _MIB,
        celsius=_number(celsius),
    )


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
