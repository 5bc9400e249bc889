"""Runs beside one another: what they were set to differently, how they ended, and their curves in one picture."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field, JsonValue

from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.registry.settings_shown import settings_shown
from glassbox.workshop.router import Router
from glassbox.workshop.routes.live import CurvePoints, curve_points
from glassbox.workshop.state import CurrentWorkshop
from glassbox.workshop.uploads.places import ClientPlaces
from glassbox.workspace.curves import thinned
from glassbox.workspace.states import State

router = Router(tags=["Runs: live"])

_MOST = 20


class ComparedRun(BaseModel):
    """One of the runs."""

    id: str = Field(examples=["pretrain-k3fm7q"])
    name: str = Field(examples=["python-docs"])
    stage: str = Field(examples=["pretrain"])
    state: State
    seconds: float | None = Field(description="How long its last attempt took, or has taken so far.", examples=[181.2])
    result: dict[str, JsonValue] | None = Field(description="What the stage said at its end.")


class Difference(BaseModel):
    """A setting or an input in which the runs differ: its values in the order of the runs, None where it has none."""

    name: str = Field(examples=["learning_rate"])
    values: list[JsonValue] = Field(examples=[[0.001, 0.0005]])


class RunsCompared(BaseModel):
    """`curves`: by metric, then by run, all thinned alike."""

    runs: list[ComparedRun]
    settings: list[Difference]
    inputs: list[Difference]
    curves: dict[str, dict[str, CurvePoints]]


@router.get("/api/comparison/runs", summary="Compare runs")
@allows("member")
def compare_runs(
    seen: Seen,
    workshop: CurrentWorkshop,
    run: Annotated[
        list[Annotated[str, Field(max_length=100)]],
        Query(min_length=2, max_length=_MOST, description="The runs' ids, at least two.", examples=[["a", "b"]]),
    ],
    metric: Annotated[
        list[Annotated[str, Field(max_length=100)]] | None,
        Query(max_length=100, description="Only these metrics; without it those that all of the runs have."),
    ] = None,
    points: Annotated[int, Query(ge=4, le=5000, description="At most so many points a curve.")] = 500,
) -> RunsCompared:
    """The settings and inputs in which they differ, their results, and each metric's curves side by side."""
    runs = [seen.run(run_id) for run_id in dict.fromkeys(run)]
    places = ClientPlaces(seen, workshop.uploads)
    found = [workshop.run_curves.of(one.folder) for one in runs]
    shared = set(found[0]).intersection(*found[1:])
    names = sorted(shared) if metric is None else metric
    return RunsCompared(
        runs=[
            ComparedRun(
                id=one.id,
                name=one.record.name,
                stage=one.record.stage,
                state=one.state,
                seconds=one.seconds,
                result=one.status.result,
            )
            for one in runs
        ],
        settings=differences([_flat(settings_shown(one.record.stage, one.record.settings, places)) for one in runs]),
        inputs=differences([{slot: link.reference for slot, link in one.record.inputs.items()} for one in runs]),
        curves={
            name: {
                one.id: curve_points(thinned(curves[name], points), len(curves[name]))
                for one, curves in zip(runs, found, strict=True)
                if name in curves
            }
            for name in names
        },
    )


def differences(sides: list[dict[str, Any]]) -> list[Difference]:
    """The names under which not all sides hold the same value, in the order in which they first appear."""
    names = dict.fromkeys(name for side in sides for name in side)
    rows = {name: [side.get(name) for side in sides] for name in names}
    return [Difference(name=name, values=row) for name, row in rows.items() if any(one != row[0] for one in row)]


def _flat(settings: dict[str, JsonValue], before: str = "") -> dict[str, JsonValue]:
    """Settings within settings by their dotted names."""
    flat: dict[str, JsonValue] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return flat
