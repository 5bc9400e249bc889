"""What the machine is doing, and what runs have taken of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field
from sqlalchemy import select

from glassbox.workshop.access.guards import allows
from glassbox.workshop.database.tables import JobRow
from glassbox.workshop.jobs.slots import machine_memory
from glassbox.workshop.problems import Unavailable
from glassbox.workshop.resources import EVERY, REMEMBERED, Look
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop, Workshop

router = Router(tags=["Resources"])


class GpuView(BaseModel):
    """A GPU, as NVIDIA's own program tells."""

    index: int
    name: str = Field(examples=["NVIDIA H100 80GB HBM3"])
    busy: float | None = Field(description="Share of the time in which it computed; null where it doesn't tell.")
    memory_used: int = Field(description="Bytes.")
    memory_total: int = Field(description="Bytes.")
    celsius: float | None


class LookView(BaseModel):
    """What was seen at a time."""

    time: float = Field(description="Seconds since 1970.")
    busy: float = Field(description="Share of all processors, since the look before.", examples=[0.42])
    processors: list[float] = Field(description="The share of each.")
    memory_used: int = Field(description="Bytes that can't be given to somebody else at once.")
    memory_total: int = Field(description="Bytes; of the container, if there is one.")
    own_memory: int = Field(description="Bytes of the workshop's own process, without runs and models.")
    disk_used: int = Field(description="Bytes, on the disk of the workspace.")
    disk_total: int = Field(description="Bytes.")
    gpus: list[GpuView]


class Taken(BaseModel):
    """What there is for runs, and what those at work have taken."""

    threads: int = Field(description="CPU threads for runs.")
    threads_taken: int
    memory: int = Field(description="Bytes for runs.")
    memory_taken: int
    gpus: int = Field(description="GPUs for runs.")
    gpus_taken: int
    at_work: int = Field(description="Runs that have what they take.")
    waiting: int = Field(description="Runs in line.")


class Now(BaseModel):
    """The machine now."""

    look: LookView
    runs: Taken


class History(BaseModel):
    """What was seen lately, oldest first."""

    every: float = Field(description="Seconds between two looks.", examples=[EVERY])
    looks: list[LookView]


@router.get("/api/resources", summary="The machine now")
@allows("member")
def get_resources(workshop: CurrentWorkshop) -> Now:
    """Processors, memory, disk and GPUs as seen within the last seconds, and what runs have taken."""
    look = workshop.resources.newest()
    if look is None:
        raise Unavailable("The machine hasn't been looked at yet.", "Try again in a few seconds.", seconds=5)
    return Now(look=_view(look), runs=_taken(workshop))


@router.get("/api/resources/history", summary="The machine lately")
@allows("member")
def get_resource_history(
    workshop: CurrentWorkshop,
    seconds: Annotated[float, Query(gt=0, le=EVERY * REMEMBERED, description="How far back.")] = 600,
) -> History:
    """An hour at most; it begins anew with the workshop."""
    return History(every=EVERY, looks=[_view(look) for look in workshop.resources.history(seconds)])


def _view(look: Look) -> LookView:
    return LookView.model_validate(look, from_attributes=True)


def _taken(workshop: Workshop) -> Taken:
    """By the queue, which alone gives out slots. A parked run keeps all but its threads."""
    with workshop.database.reading() as session:
        jobs = list(session.scalars(select(JobRow).where(JobRow.state != "ended")))
    holding = [job for job in jobs if job.state == "started"]
    settings = workshop.settings
    return Taken(
        threads=settings.threads,
        threads_taken=sum(job.threads for job in holding if not job.parked),
        memory=machine_memory() if settings.memory is None else settings.memory,
        memory_taken=sum(job.memory for job in holding),
        gpus=settings.gpus,
        gpus_taken=sum(job.gpus for job in holding),
        at_work=len(holding),
        waiting=len(jobs) - len(holding),
    )
