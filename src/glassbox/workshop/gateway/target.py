"""What a deployment's process shall serve, and how patient one is with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Engine = Literal["glassbox", "vllm"]
"""Who computes: `glassbox serve-model`, or vLLM for what outgrows it."""


@dataclass(frozen=True)
class Target:
    """What a process is started for. A process that was started for another one is replaced.

    deployment, version: which entry of the database this is.   name:         what requests call it.
    model:               the artifact, as name:version.          rows:         answers written side by side.
    threads:             CPU threads; None takes what there is.  memory:       bytes that it may hold; None: any.
    unload_after:        seconds without a request after which it is ended until the next one; None: never.
    """

    deployment: str
    version: int
    name: str
    engine: Engine
    model: str
    rows: int = 16
    threads: int | None = None
    memory: int | None = None
    unload_after: int | None = None


@dataclass(frozen=True)
class Patience:
    """Seconds and numbers by which a process is judged.

    start, start_vllm: until it must answer; vLLM compiles before it does.
    look, looks:       every so often it is asked how it is; so many times without an answer, and it hangs.
    answer:            that it has for each such question.
    pause, longest:    before it is started again: doubled each time, up to the longest.
    starts:            that may fail one after the other; one that came to answer hasn't failed, however it ended.
    settled:           of answering, after which earlier failures are forgotten.
    drain:             that a process which was replaced has for the answers that it is giving.
    end:               from being asked to end to being killed.
    """

    start: float = 180
    start_vllm: float = 1800
    look: float = 5
    looks: int = 6
    answer: float = 5
    pause: float = 1
    longest: float = 60
    starts: int = 5
    settled: float = 60
    drain: float = 60
    end: float = 13

    def until_ready(self, engine: Engine) -> float:
        return self.start_vllm if engine == "vllm" else self.start
