"""What a person asks for, checked and made into a job: everything that can be refused is refused here, at once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, Field

from glassbox.errors import BadInput
from glassbox.stages.interface import Stage, StageSettings
from glassbox.workshop.bodies import Body
from glassbox.workshop.database.tables import JobRow
from glassbox.workshop.jobs.slots import Slots, Takes
from glassbox.workspace import Artifact
from glassbox.workspace.run import Run, RunRecord

LauncherName = Literal["local", "torchrun", "ray"]
RETRIES = 5


class Resources(Body):
    """What a run takes; what is left out is taken from what its stage says it needs."""

    model_config = ConfigDict(frozen=True)

    threads: int | None = Field(default=None, ge=1, le=4096, description="CPU threads of all its processes.")
    memory: int | None = Field(default=None, ge=1, le=2**50, description="Bytes of memory.")
    gpus: int | None = Field(default=None, ge=0, le=4096, description="GPUs.")


class Schedule(Body):
    """When a run starts, where, and what it takes."""

    model_config = ConfigDict(frozen=True)

    priority: int = Field(
        default=0, ge=-1000, le=1000, description="Higher goes first; among equals who waited longest."
    )
    resources: Resources = Field(default_factory=Resources, description="CPU threads, memory and GPUs.")
    launcher: LauncherName = Field(
        default="local", description="local: one process; torchrun: several; ray: on a cluster."
    )
    processes: int = Field(default=1, ge=1, le=256, description="Processes that share the work, where the stage can.")
    retries: int = Field(
        default=RETRIES,
        ge=0,
        le=1000,
        description="How often it goes on by itself after kills without a checkpoint between.",
    )


@dataclass(frozen=True)
class Asked:
    """Who asks, and by which key the same request is known when it comes again."""

    user: str
    key: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def hash(self) -> str:
        return hashlib.sha256(json.dumps(self.body, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def takes_of(
    stage: Stage, settings: StageSettings, inputs: Mapping[str, Artifact], schedule: Schedule, slots: Slots
) -> Takes:
    """What a run will take here. Raises BadInput if it could never start, or the stage can't be shared so."""
    needs, asked = stage.needs(settings, inputs), schedule.resources
    if schedule.processes > 1 and not stage.parallel:
        raise BadInput(
            f"The stage {stage.name} is the work of one process, not of {schedule.processes}.",
            "Leave `processes` at 1.",
        )
    if schedule.processes > 1 and schedule.launcher == "local":
        raise BadInput("The launcher local starts one process.", "Choose the launcher torchrun, or ray.")
    threads = asked.threads or needs.threads or slots.threads
    if threads < schedule.processes:
        raise BadInput(
            f"{schedule.processes} processes can't share {threads} CPU threads.", "Give each process a thread or more."
        )
    one_gpu = needs.gpu == "always" or (needs.gpu == "if there is one" and bool(slots.gpus))
    gpus = schedule.processes * one_gpu if asked.gpus is None else asked.gpus
    takes = Takes(threads, asked.memory or needs.memory * schedule.processes, gpus)
    slots.check_fits(takes)
    return takes


def new_job(record: RunRecord, takes: Takes, schedule: Schedule, asked: Asked) -> JobRow:
    """A job for a run whose folder isn't there yet."""
    origin = record.origin
    return _job(record, takes, schedule, asked, "new", None if origin is None else origin.step)


def next_attempt_job(run: Run, takes: Takes, schedule: Schedule, asked: Asked, from_checkpoint: int | None) -> JobRow:
    """A job for another attempt at a run that is there."""
    return _job(run.record, takes, schedule, asked, "waiting", from_checkpoint)


def _job(
    record: RunRecord, takes: Takes, schedule: Schedule, asked: Asked, state: str, from_checkpoint: int | None
) -> JobRow:
    now = time.time()
    return JobRow(
        run=record.id,
        user=asked.user,
        idempotency_key=asked.key,
        asked=asked.hash,
        record=record.model_dump_json(),
        state=state,
        wanted="run",
        wanted_since=now,
        priority=schedule.priority,
        launcher=schedule.launcher,
        processes=schedule.processes,
        threads=takes.threads,
        memory=takes.memory,
        gpus=takes.gpus,
        from_checkpoint=from_checkpoint,
        queued=now,
        parked=False,
        kills=0,
        retries=schedule.retries,
    )
