"""Tensors: what is in a model or a checkpoint, in numbers, and how two of them differ. Nothing here loads a model."""

from __future__ import annotations

import contextlib
import math
from dataclasses import asdict
from typing import Annotated

from fastapi import Depends, Path, Query
from pydantic import BaseModel, Field, ValidationError

from glassbox.errors import BadInput
from glassbox.hub.tensor_difference import compare_files
from glassbox.hub.tensor_file import TensorFile
from glassbox.hub.tensor_statistics import check_readable, tensor_statistics
from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.bodies import Body
from glassbox.workshop.problems import NotFound, TooLarge
from glassbox.workshop.registry.checkpoint_records import read_record
from glassbox.workshop.registry.tensor_sources import TensorSource, checkpoint_files, open_tensors, tensor_files_of
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop
from glassbox.workspace.saved_steps import step_folder, weighed_steps

router = Router(tags=["Tensors"])

LARGEST = 20_000_000_000
"""Bytes of a file that is read from end to end while somebody waits: about a minute."""


class TensorView(BaseModel):
    """A tensor without its numbers."""

    name: str = Field(examples=["blocks.0.attention.query"])
    format: str = Field(description="As safetensors names it.", examples=["F32"])
    shape: list[int] = Field(examples=[[384, 384]])
    numbers: int = Field(examples=[147_456])
    bytes: int = Field(examples=[589_824])


class TensorList(BaseModel):
    """The tensors of one file, in its order."""

    file: str = Field(examples=["model.safetensors"])
    files: list[str] = Field(description="All files of tensors there.")
    numbers: int = Field(description="Of all tensors together.")
    tensors: list[TensorView]
    total: int = Field(description="How many tensors there are.")


class StatisticsView(BaseModel):
    """Over the finite numbers of a tensor; null where it has none."""

    name: str
    format: str
    shape: list[int]
    numbers: int
    not_finite: int = Field(description="NaN and infinities.")
    zeros: int
    least: float | None
    largest: float | None
    mean: float | None
    deviation: float | None = Field(description="The standard deviation.")
    norm: float | None = Field(description="The root of the sum of squares.")
    counts: list[int] = Field(description="The histogram: bins of equal width from least to largest.")


class DifferenceView(BaseModel):
    """How one tensor differs from the first file to the second; null where it can't be said in a finite number."""

    name: str
    shape: list[int]
    numbers: int
    changed: int = Field(description="Numbers that aren't the same.")
    norm: float | None = Field(description="Of the difference.")
    before: float | None = Field(description="Norm in the first.")
    after: float | None = Field(description="Norm in the second.")
    relative: float | None = Field(description="The difference's norm over the first's.")
    cosine: float | None = Field(description="Of the angle between both, as vectors.")
    largest: float | None = Field(description="The largest change of a single number.")
    at: list[int] | None = Field(description="The index of that number.")


class Reshaped(BaseModel):
    """A tensor that both have, in different shapes."""

    name: str
    before: list[int]
    after: list[int]


class FileDifferenceView(BaseModel):
    """How two files of tensors differ."""

    tensors: list[DifferenceView]
    added: list[str] = Field(description="Names that only the second has.")
    removed: list[str] = Field(description="Names that only the first has.")
    reshaped: list[Reshaped]
    unread: list[str] = Field(description="In a number format that isn't read here.")
    norm: float | None = Field(description="Of the difference of all tensors that were compared, as one vector.")


class Pair(Body):
    """Two files of tensors."""

    first: TensorSource
    second: TensorSource


class CheckpointView(BaseModel):
    """A checkpoint of a run."""

    step: int = Field(examples=[400])
    bytes: int = Field(examples=[129_500_000])
    validation_loss: float | None = Field(description="Measured at this very step, if it was.")
    files: list[str] = Field(examples=[["optimizer.safetensors", "weights.safetensors"]])
    problem: str | None = Field(description="What is damaged about it.")


def _source(
    artifact: Annotated[
        str | None, Query(max_length=100, description="The artifact's id; or give run and step.")
    ] = None,
    run: Annotated[str | None, Query(max_length=100, description="The run's id.")] = None,
    step: Annotated[int | None, Query(ge=0, lt=10**12, description="Whose checkpoint.")] = None,
    file: Annotated[
        str | None,
        Query(max_length=300, description="Without it model.safetensors, or a checkpoint's weights.safetensors."),
    ] = None,
) -> TensorSource:
    try:
        return TensorSource(artifact=artifact, run=run, step=step, file=file)
    except ValidationError:
        raise BadInput(
            "Either an artifact or a run with a step is needed.", "Give `artifact`, or `run` together with `step`."
        ) from None


Source = Annotated[TensorSource, Depends(_source)]


@router.get("/api/runs/{run_id}/checkpoints", summary="A run's checkpoints")
@allows("member")
def list_checkpoints(run_id: Annotated[str, Path(max_length=100)], seen: Seen) -> list[CheckpointView]:
    """Oldest first. While a run trains the newest two and the best stay, afterwards the newest."""
    checkpoints = seen.run(run_id).checkpoints
    views: list[CheckpointView] = []
    for saved in weighed_steps(checkpoints):
        record = read_record(step_folder(checkpoints, saved.step))
        with contextlib.suppress(NotFound):  # a newer one took its place meanwhile
            views.append(
                CheckpointView(
                    step=saved.step,
                    bytes=saved.bytes,
                    validation_loss=record.validation_loss,
                    files=list(checkpoint_files(checkpoints, saved.step)),
                    problem=record.problem,
                )
            )
    return views


@router.get("/api/tensors", summary="The tensors of a model or a checkpoint")
@allows("member")
def list_tensors(
    source: Source,
    seen: Seen,
    text: Annotated[str | None, Query(max_length=100, description="In the tensor's name.")] = None,
    offset: Annotated[int, Query(ge=0, le=10**9, description="Skip so many.")] = 0,
    limit: Annotated[int, Query(ge=1, le=2000, description="At most so many.")] = 500,
) -> TensorList:
    """Names, number formats and shapes: read from the head of the file, however large it is."""
    file = open_tensors(seen, source)
    entries = [(name, entry) for name, entry in file.entries.items() if text is None or text in name]
    return TensorList(
        file=source.file or file.path.name,
        files=list(tensor_files_of(seen, source)),
        numbers=sum(math.prod(entry.shape) for entry in file.entries.values()),
        tensors=[
            TensorView(
                name=name,
                format=entry.type,
                shape=list(entry.shape),
                numbers=math.prod(entry.shape),
                bytes=entry.bytes,
            )
            for name, entry in entries[offset : offset + limit]
        ],
        total=len(entries),
    )


@router.get("/api/tensors/statistics", summary="What is in one tensor")
@allows("member")
def get_tensor_statistics(
    source: Source,
    seen: Seen,
    workshop: CurrentWorkshop,
    name: Annotated[str, Query(max_length=300, examples=["blocks.0.attention.query"])],
    bins: Annotated[int, Query(ge=1, le=512, description="Of the histogram.")] = 64,
) -> StatisticsView:
    """Its range, its moments and its histogram, over all of its numbers."""
    file = open_tensors(seen, source)
    check_readable(file, name)
    _check_size(file.entries[name].bytes)
    with workshop.turns.take():
        found = tensor_statistics(file, name, bins=bins)
    return StatisticsView(name=name, **asdict(found))


@router.post("/api/tensors/difference", summary="How two models or checkpoints differ")
@allows("member", noted=False)
def compare_tensors(pair: Pair, seen: Seen, workshop: CurrentWorkshop) -> FileDifferenceView:
    """Tensor by tensor, as far as both have the same names and shapes. Takes about a second for each gigabyte."""
    first, second = open_tensors(seen, pair.first), open_tensors(seen, pair.second)
    _check_size(_bytes(first) + _bytes(second))
    with workshop.turns.take():
        found = compare_files(first, second)
    norms = [one.norm for one in found.tensors]
    return FileDifferenceView(
        tensors=[DifferenceView.model_validate(one, from_attributes=True) for one in found.tensors],
        added=list(found.added),
        removed=list(found.removed),
        reshaped=[
            Reshaped(name=name, before=list(before), after=list(after))
            for name, (before, after) in found.reshaped.items()
        ],
        unread=list(found.unread),
        norm=None if None in norms else math.hypot(*(norm for norm in norms if norm is not None)),
    )


def _bytes(file: TensorFile) -> int:
    return sum(entry.bytes for entry in file.entries.values())


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise TooLarge(
            f"{size:,} bytes would have to be read, and at most {LARGEST:,} are while somebody waits.",
            "Download the files and compare them where there is time.",
        )
