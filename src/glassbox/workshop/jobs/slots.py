"""What a machine has for runs, what each run takes of it, and who is next: plain arithmetic without a clock or a disk.

The rule. Higher priority goes first, and among equals who has waited longest. Whoever is next and doesn't fit yet sets
aside all of what is free and what they need of it; those behind them may start with what is left. So small runs fill
what a large one has no use for, and never keep it waiting: everything that becomes free is set aside for it first.
Runs of a lower priority wait for as long as there are runs of a higher one; that is what priorities are for.

A paused run keeps its memory and its GPUs, and gives its threads to others. To go on it waits for threads alone, ahead
of all that haven't begun: one of those might wait for the very memory that it holds, and neither would ever go on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from glassbox.errors import BadInput

_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Takes:
    """What one run takes: CPU threads, bytes of memory, GPUs."""

    threads: int
    memory: int
    gpus: int = 0


@dataclass(frozen=True)
class Slots:
    """What there is for runs. gpus: their numbers, as CUDA_VISIBLE_DEVICES counts them."""

    threads: int
    memory: int
    gpus: tuple[int, ...] = ()

    def check_fits(self, takes: Takes) -> None:
        """Raises BadInput for a run that could never start here."""
        lacking = _lacking(takes, self.threads, self.memory, len(self.gpus), "in all")
        if lacking:
            raise BadInput(
                f"This run would need {lacking} of this workshop: it could never start.",
                "Ask for less in `resources`, choose a smaller model or batch, or start the workshop with more.",
            )


@dataclass(frozen=True)
class Holding:
    """A run that has what it takes; `parked` without its threads. gpus: which ones."""

    takes: Takes
    gpus: tuple[int, ...] = ()
    parked: bool = False


@dataclass(frozen=True)
class InLine:
    """A run that waits for what it takes."""

    run: str
    takes: Takes


@dataclass(frozen=True)
class Allotment:
    """Who may start now, with which GPUs; and of everyone else what they wait for, in words."""

    starts: dict[str, tuple[int, ...]]
    waits: dict[str, str]


def allot(slots: Slots, held: Iterable[Holding], line: Sequence[InLine]) -> Allotment:
    """Go along the line, which is in the order of its turns, by the rule above."""
    holdings = list(held)
    taken = {gpu for holding in holdings for gpu in holding.gpus}
    gpus = [gpu for gpu in slots.gpus if gpu not in taken]
    threads = slots.threads - sum(holding.takes.threads for holding in holdings if not holding.parked)
    memory = slots.memory - sum(holding.takes.memory for holding in holdings)
    starts: dict[str, tuple[int, ...]] = {}
    waits: dict[str, str] = {}
    ahead: str | None = None  # the first who doesn't fit
    for one in line:
        takes = one.takes
        lacking = _lacking(takes, threads, memory, len(gpus), "free")
        if lacking:
            behind = "" if ahead is None else f"; {ahead} is ahead of it"
            waits[one.run] = f"It waits for {lacking}{behind}."
            ahead = ahead or one.run
        else:
            starts[one.run] = tuple(gpus[: takes.gpus])
        del gpus[: takes.gpus]
        threads = max(0, threads - takes.threads)
        memory = max(0, memory - takes.memory)
    return Allotment(starts, waits)


def machine_memory() -> int:
    """The bytes of memory that this machine, or this container, has."""
    import psutil

    total = psutil.virtual_memory().total
    try:
        return min(total, int(_MEMORY_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or "max"
        return total


def gpu_numbers(count: int) -> tuple[int, ...]:
    """The numbers of the first so many GPUs that this process may use. Raises BadInput if it may use fewer."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None or not count:
        return tuple(range(count))
    named = [word.strip() for word in visible.split(",") if word.strip()]
    if not all(word.isdecimal() for word in named) or len(named) < count:
        raise BadInput(
            f"The workshop was to use {count} GPUs, and CUDA_VISIBLE_DEVICES is {visible!r}.",
            "Name the GPUs by their numbers there, as many as --gpus says, or leave it unset.",
        )
    return tuple(map(int, named[:count]))


def _lacking(takes: Takes, threads: int, memory: int, gpus: int, how: str) -> str:
    """What is asked for and isn't there, in words; empty if it fits."""
    lacking: list[str] = []
    if takes.threads > threads:
        lacking.append(f"{takes.threads} CPU thread{'s' * (takes.threads > 1)} ({max(0, threads)} {how})")
    if takes.memory > memory:
        lacking.append(f"{takes.memory / 1e6:,.0f} MB of memory ({max(0, memory) / 1e6:,.0f} MB {how})")
    if takes.gpus > gpus:
        lacking.append(f"{takes.gpus} GPU{'s' * (takes.gpus > 1)} ({gpus} {how})")
    return " and ".join(lacking)
