"""The engines beside one another: the same component's source in each, and the benches that were kept.

A comparison itself is a run of the stage compare-engines.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, cast

from fastapi import Path, Query
from pydantic import BaseModel, Field

from glassbox.engines.catalogue import ENGINES
from glassbox.errors import BadInput
from glassbox.evaluation.engines.bench import regressions
from glassbox.evaluation.engines.code import COMPONENTS, LEVELS, Comparison, compare_code
from glassbox.evaluation.engines.machine import same_hardware
from glassbox.stages.compare_engines import REPORT, STAGE
from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.paging import Cursor, Limit, page
from glassbox.workshop.problems import NotFound
from glassbox.workshop.registry.opened import opened
from glassbox.workshop.router import Router
from glassbox.workspace import Artifact

router = Router(tags=["Engines"])

ReportId = Annotated[str, Path(max_length=100, description="The id of a report of compare-engines.")]


class EngineView(BaseModel):
    """One level of abstraction."""

    name: str = Field(examples=["lists"])
    about: str
    shows: str = Field(description="What this level lets one see.")
    hides: str = Field(description="What it hides.")


class Engines(BaseModel):
    """The engines, from the one that shows most to the fastest, and the components that each has a file of."""

    engines: list[EngineView]
    components: list[str] = Field(examples=[["attention", "feedforward"]])


class UnitView(BaseModel):
    """A class, a method or a function."""

    line: int = Field(description="Its first line in the file.")
    source: str
    complexity: int = Field(description="Ways through it (McCabe 1976); 0 of a class.")


class CodeRow(BaseModel):
    """What has the same name in each engine; null where an engine has none of that name."""

    name: str = Field(examples=["Attention.forward"])
    formulas: list[str]
    units: dict[str, UnitView | None]


class SourceView(BaseModel):
    """One engine's file of the component."""

    path: str = Field(examples=["glassbox/engines/lists/attention.py"])
    source: str
    about: str = Field(description="The file's own words.")
    lines: int = Field(description="With code: no blank ones, comments and docstrings.")
    complexity: int = Field(description="McCabe's number of each function, added up.")
    most: int = Field(description="The largest of them.")


class ComponentCode(BaseModel):
    """A component's real source in every engine, its rows in the order in which they are defined."""

    component: str
    engines: dict[str, SourceView]
    rows: list[CodeRow]


class BenchSummary(BaseModel):
    """A comparison of engines that was kept."""

    id: str
    reference: str = Field(examples=["engines:4"])
    created: float = Field(description="Seconds since 1970.")
    model: str | None = Field(description="Of the step that was compared.", examples=["microgpt"])
    agree: bool | None = Field(description="Whether all engines gave the same numbers.")
    bench: bool = Field(description="Whether time and memory were measured too.")


class BenchPage(BaseModel):
    """Some comparisons, newest first."""

    reports: list[BenchSummary]
    next: str | None = Field(description="The cursor of the next page; null at the end.")


class BenchReport(BaseModel):
    """A report as it was kept."""

    id: str
    reference: str
    report: dict[str, Any] = Field(description="machine, step (differences and times), bench, since.")


class Regression(BaseModel):
    """Something that became slower or larger beyond noise."""

    engine: str
    size: str = Field(examples=["4x64"])
    what: str = Field(examples=["step_seconds"])
    before: float
    now: float
    times: float


class BenchChange(BaseModel):
    """What became slower or larger from one bench to the other."""

    same_hardware: bool = Field(description="Times of different machines say nothing about the code.")
    same_conditions: bool = Field(description="Batch, length and threads; only then anything is compared.")
    regressions: list[Regression]


@router.get("/api/engines", summary="The engines and their components")
@allows("member")
def list_engines() -> Engines:
    """What each level of abstraction shows, and what it hides."""
    return Engines(
        engines=[
            EngineView(name=name, about=about, shows=LEVELS[name][0], hides=LEVELS[name][1])
            for name, about in ENGINES.items()
        ],
        components=list(COMPONENTS),
    )


@router.get("/api/engines/code/{component}", summary="A component's source in every engine")
@allows("member")
def compare_source(component: Annotated[str, Path(max_length=100, examples=["attention"])]) -> ComponentCode:
    """The real source, aligned by name, with the formulas that stand in it."""
    try:
        return _code(compare_code(component))
    except BadInput as error:
        raise NotFound("component", component, error.remedy) from None


@router.get("/api/engines/reports", summary="Comparisons that were kept")
@allows("member")
def list_engine_reports(
    seen: Seen,
    bench: Annotated[bool, Query(description="Only those that measured time and memory.")] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> BenchPage:
    """Newest first."""
    made = (entry for entry in seen.artifacts("report") if (entry.run or "").startswith(f"{STAGE.name}-"))
    wanted = [one for one in opened(made) if not bench or one.facts.get("bench")]
    given, following = page(wanted, lambda one: (one.manifest.created.timestamp(), one.id), cursor, limit)
    return BenchPage(reports=[_summary(one) for one in given], next=following)


@router.get("/api/engines/reports/{report_id}", summary="One comparison")
@allows("member")
def get_engine_report(report_id: ReportId, seen: Seen) -> BenchReport:
    """All that it measured."""
    artifact = seen.by_id(report_id)
    return BenchReport(id=artifact.id, reference=artifact.reference, report=_read(artifact))


@router.get("/api/engines/reports/{report_id}/since/{earlier_id}", summary="What became slower since an earlier one")
@allows("member")
def find_regressions(
    report_id: ReportId, earlier_id: Annotated[str, Path(max_length=100, description="An earlier one.")], seen: Seen
) -> BenchChange:
    """Only what lies beyond the spread that each bench saw within itself."""
    now, before = _bench(seen.by_id(report_id)), _bench(seen.by_id(earlier_id))
    try:
        return BenchChange(
            same_hardware=same_hardware(now["machine"], before["machine"]),
            same_conditions=all(now["bench"][key] == before["bench"][key] for key in ("batch", "length", "threads")),
            regressions=[Regression(**one) for one in regressions(before["bench"], now["bench"])],
        )
    except (KeyError, TypeError, AttributeError):
        raise BadInput(
            "One of the two reports lacks what is compared; another version of Glassbox may have made it.",
            "Make both anew with the same version.",
        ) from None


def _code(compared: Comparison) -> ComponentCode:
    return ComponentCode(
        component=compared.component,
        engines={
            name: SourceView(
                path=one.path,
                source=one.source,
                about=one.docstring,
                lines=one.lines,
                complexity=one.complexity,
                most=one.most,
            )
            for name, one in compared.engines.items()
        },
        rows=[
            CodeRow(
                name=row.name,
                formulas=list(row.formulas),
                units={
                    name: None if unit is None else UnitView.model_validate(unit, from_attributes=True)
                    for name, unit in row.units.items()
                },
            )
            for row in compared.rows
        ],
    )


def _summary(artifact: Artifact) -> BenchSummary:
    facts = artifact.facts
    model, agree = facts.get("model"), facts.get("agree")
    return BenchSummary(
        id=artifact.id,
        reference=artifact.reference,
        created=artifact.manifest.created.timestamp(),
        model=model if isinstance(model, str) else None,
        agree=agree if isinstance(agree, bool) else None,
        bench=facts.get("bench") is True,
    )


def _bench(artifact: Artifact) -> dict[str, Any]:
    report = _read(artifact)
    if "bench" not in report:
        raise BadInput(f"The report {artifact.reference} measured no times.", "Give one made with `bench`.")
    return report


def _read(artifact: Artifact) -> dict[str, Any]:
    remedy = "Give the id of a report made by the stage compare-engines."
    if artifact.kind != "report" or REPORT not in artifact.manifest.files:
        raise BadInput(f"The {artifact.kind} {artifact.reference} is no comparison of engines.", remedy)
    try:
        report: Any = json.loads((artifact.folder / REPORT).read_bytes())
    except (OSError, ValueError):
        raise BadInput(f"The report {artifact.reference} cannot be read.", "Make it anew.") from None
    if not isinstance(report, dict) or not {"machine", "step"} <= report.keys():
        raise BadInput(f"The report {artifact.reference} is no comparison of engines.", remedy)
    return cast("dict[str, Any]", report)
