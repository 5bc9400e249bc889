"""The engines against one another over sizes of models: time, memory, learning, and who wins from where on.

Every engine trains every model in a process of its own (`trial.py`), engine after engine at each size, so that a busy
minute of the machine hits all alike. Of each time the median of many steps is kept, and the quartiles as its spread.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from glassbox.engines.catalogue import ENGINES
from glassbox.errors import BadInput
from glassbox.evaluation.engines.batches import least_loss
from glassbox.evaluation.engines.code import COMPONENTS, LEVELS, engine_source
from glassbox.evaluation.engines.cost import available_memory, spoken_bytes, spoken_seconds
from glassbox.evaluation.engines.trial import LEAST, WARM_UP, Trial, measured_apart
from glassbox.spec import ModelSpec, count_flops, count_memory, count_parameters, preset

CUDA = "tensors on cuda"
OTHER_BATCHES = ("arrays", "tensors", CUDA)  # who is measured with larger batches: the others loop over rows
FLAT = 0.02  # memory may grow by this share of the peak over a trial, or by:
FLAT_BYTES = 1 << 20
ENOUGH = 20  # samples of the memory, to say so
NOTICEABLE = 1.1  # times as slow, or as large and by:
NOTICEABLE_BYTES = 4 << 20  # what an allocator keeps varies by less

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Size:
    """`4x128`: four layers of width 128; for the rest the preset microgpt, its weights beginning as in GPT-2.

    Microgpt's own first weights are too large for a width above its own.
    """

    layers: int
    width: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """Raises BadInput unless it is LAYERSxWIDTH with a width that four heads can share."""
        layers, _, width = text.partition("x")
        if not (layers.isascii() and layers.isdigit() and width.isascii() and width.isdigit() and int(layers)):
            raise BadInput(f"A size is written as LAYERSxWIDTH, and {text!r} came.", "Write 4x128, for instance.")
        if not int(width) or int(width) % preset("microgpt").heads:
            raise BadInput(
                f"The width of {text} cannot be shared evenly by 4 heads.", "Choose a multiple of 4, such as 4x128."
            )
        return cls(int(layers), int(width))

    @property
    def name(self) -> str:
        return f"{self.layers}x{self.width}"

    def spec(self, length: int) -> ModelSpec:
        return preset("microgpt").replace(
            layers=self.layers, width=self.width, context=length, initialization="scaled", initial_std=0.02
        )


def bench(
    sizes: Sequence[Size],
    engines: Sequence[str],
    *,
    rows: int,
    length: int,
    more_rows: Sequence[int],
    steps: int,
    seed: int,
    threads: int,
    seconds: float,
    progress: Progress = lambda done, total, name: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Measure as much as fits into `seconds`; what doesn't is in `left_out`, each with its reason.

    rows, length: of a batch. more_rows: of the batches that arrays and tensors are measured with besides.
    steps:        after so many the losses are compared.
    threads:      of arrays and tensors; scalars and lists have one whatever is asked for.

    `others_busy` is the share of the processors that other work took just before: times of a busy machine are longer.
    """
    others_busy = psutil.cpu_percent(interval=0.5) / 100
    sizes = sorted(sizes, key=lambda size: count_parameters(size.spec(length)).total)
    columns = [*engines, *([CUDA] if "tensors" in engines and _has_cuda() else [])]
    each = max(0.2, seconds / (len(sizes) * len(columns)) / (2 if more_rows else 1))
    results: dict[str, dict[str, Any]] = {column: {} for column in columns}
    left_out: dict[str, dict[str, str]] = {column: {} for column in columns}
    for number, size in enumerate(sizes):
        for place, column in enumerate(columns):
            if stop_requested():
                left_out[column][size.name] = "The comparison was stopped before."
                continue
            progress(number * len(columns) + place, len(sizes) * len(columns), f"{column} {size.name}")
            spec = size.spec(length)
            measured = _too_large(results[column], sizes[:number], size, rows, length, each)
            if measured is None:
                measured = measured_apart(_trial(column, spec, rows, length, seed, threads, each, more_rows))
            if isinstance(measured, str):
                left_out[column][size.name] = measured
            else:
                results[column][size.name] = measured | _judged(measured, steps)
    known = {size.name: count_parameters(size.spec(length)).total for size in sizes}
    flops = {size.name: count_flops(size.spec(length), length).training * rows * length for size in sizes}
    return {
        "sizes": {name: {"parameters": known[name], "flops_per_step": flops[name]} for name in known},
        "batch": rows,
        "length": length,
        "threads": threads,
        "steps": steps,
        "least_loss": least_loss(preset("microgpt")),
        "seconds_for_each": each,
        "others_busy": others_busy,
        "engines": results,
        "left_out": left_out,
        "exponents": {column: _exponents(found, known, flops) for column, found in results.items()},
        "crossings": _crossings(results, known, rows),
        "code": code_of(engines),
    }


def code_of(engines: Sequence[str]) -> dict[str, Any]:
    """Lines and complexity of each component, and what the level shows and hides."""
    found: dict[str, Any] = {}
    for name in engines:
        sources = {component: engine_source(name, component) for component in COMPONENTS}
        shows, hides = LEVELS[name]
        found[name] = {
            "about": ENGINES[name],
            "shows": shows,
            "hides": hides,
            "lines": sum(source.lines for source in sources.values()),
            "components": {
                component: {"lines": source.lines, "complexity": source.complexity, "most": source.most}
                for component, source in sources.items()
            },
        }
    return found


def regressions(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What became slower or larger beyond noise since an earlier bench of the same machine.

    Noise is what a bench sees within itself, and a busy machine: a time counts as longer when its lower quartile is
    above the upper quartile of before, and the fastest step, which a busy machine delays least, a tenth above the
    fastest of before; memory when its peak is a tenth and 4 MiB above.
    """
    found: list[dict[str, Any]] = []
    if any(before[key] != now[key] for key in ("batch", "length", "threads")):
        return found
    for engine, sizes in now["engines"].items():
        for size, measured in sizes.items():
            earlier = before["engines"].get(engine, {}).get(size)
            if earlier is None:
                continue
            for part in ("forward", "backward", "update", "step"):
                old, new = earlier["seconds"][part], measured["seconds"][part]
                if new["lower"] > old["upper"] and new["least"] > NOTICEABLE * old["least"]:
                    found.append(_change(engine, size, f"{part}_seconds", old["median"], new["median"]))
            old, new = earlier["peak_bytes"], measured["peak_bytes"]
            if new > NOTICEABLE * old and new - old > NOTICEABLE_BYTES:
                found.append(_change(engine, size, "peak_bytes", old, new))
    return found


def crossing(points: Sequence[tuple[float, float]]) -> float | None:
    """Where a ratio falls below one and stays there: (size, ratio) by size -> the size, between two points in logs.

    None if it is still above one at the last point. The first size if it was never above.
    """
    if not points or points[-1][1] >= 1:
        return None
    last_above = max((place for place, (_, ratio) in enumerate(points) if ratio >= 1), default=None)
    if last_above is None:
        return points[0][0]
    (size, ratio), (next_size, next_ratio) = points[last_above : last_above + 2]
    share = math.log(ratio) / (math.log(ratio) - math.log(next_ratio))
    return math.exp(math.log(size) + share * (math.log(next_size) - math.log(size)))


def _trial(
    column: str,
    spec: ModelSpec,
    rows: int,
    length: int,
    seed: int,
    threads: int,
    seconds: float,
    more_rows: Sequence[int],
) -> Trial:
    return Trial(
        engine="tensors" if column == CUDA else column,
        model=spec.model_dump(mode="json", exclude_unset=True),
        rows=rows,
        length=length,
        seed=seed,
        threads=threads,
        seconds=seconds,
        more_rows=tuple(more_rows) if column in OTHER_BATCHES else (),
        device="cuda" if column == CUDA else "cpu",
    )


def _too_large(
    found: Mapping[str, Any], smaller: Sequence[Size], size: Size, rows: int, length: int, seconds: float
) -> str | None:
    """A sentence when the largest model measured so far says that this one takes too long, or too much memory."""
    if not smaller:
        return None
    known = [one for one in smaller if one.name in found]
    if not known:
        return f"{smaller[-1].name} was too large already."
    last, spec = known[-1], size.spec(length)
    growth = count_flops(spec, length).training / count_flops(last.spec(length), length).training
    step = found[last.name]["seconds"]["step"]["median"] * growth
    if step * (WARM_UP + LEAST) > seconds:
        return (
            f"A step would take about {spoken_seconds(step)} by {last.name}'s, "
            f"and {spoken_seconds(seconds)} are given for {WARM_UP + LEAST} steps."
        )
    ratio = count_memory(spec, batch=rows).training / count_memory(last.spec(length), batch=rows).training
    if (needed := found[last.name]["peak_bytes"] * ratio) > available_memory():
        free = available_memory()
        return f"It would take about {spoken_bytes(needed)} by {last.name}'s, and {spoken_bytes(free)} are free."
    return None


def _judged(measured: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """The loss after so many steps, and whether the memory stayed flat from the second third of the steps to the last.

    None for each that there were too few steps for.
    """
    losses, held = measured["losses"], measured["held_bytes"]
    growth = flat = None
    if len(held) >= ENOUGH:
        third = len(held) // 3
        growth = statistics.median(held[-third:]) - statistics.median(held[third : 2 * third])
        flat = growth <= max(FLAT_BYTES, FLAT * measured["peak_bytes"])
    return {
        "loss_after_steps": losses[steps - 1] if len(losses) >= steps else None,
        "memory_growth_bytes": growth,
        "memory_flat": flat,
    }


def _exponents(
    found: Mapping[str, Any], parameters: Mapping[str, int], flops: Mapping[str, float]
) -> dict[str, float | None]:
    """n in time ~ FLOPs^n and in memory ~ parameters^n, by least squares of the logarithms."""
    seconds = [(flops[size], measured["seconds"]["step"]["median"]) for size, measured in found.items()]
    memory = [(parameters[size], measured["peak_bytes"]) for size, measured in found.items()]
    return {"seconds": _slope(seconds), "bytes": _slope([point for point in memory if point[1] > 0])}


def _slope(points: Sequence[tuple[float, float]]) -> float | None:
    if len(points) < 2:
        return None
    x, y = np.log(np.array(points)).T
    return float(np.polyfit(x, y, 1)[0])


def _crossings(results: Mapping[str, Any], parameters: Mapping[str, int], rows: int) -> list[dict[str, Any]]:
    """From where on one engine is faster than another: over sizes at the batch, and over batches at each size.

    By the fastest step of each, which other work on the machine delays least.
    """
    found: list[dict[str, Any]] = []
    for faster, slower in (("tensors", "arrays"), (CUDA, "tensors"), (CUDA, "arrays")):
        if faster not in results or slower not in results:
            continue
        both = [size for size in parameters if size in results[faster] and size in results[slower]]
        ratios = [(parameters[size], _ratio(results, faster, slower, size)) for size in both]
        found.append(_found(faster, slower, "parameters", f"batch {rows}", ratios))
        for size in both:
            by_rows = [(rows, _ratio(results, faster, slower, size))]
            mine, theirs = (results[name][size]["by_rows"] for name in (faster, slower))
            by_rows += [(int(more), mine[more]["least"] / theirs[more]["least"]) for more in mine if more in theirs]
            if len(by_rows) > 1:
                found.append(_found(faster, slower, "batch", size, sorted(by_rows)))
    return found


def _ratio(results: Mapping[str, Any], faster: str, slower: str, size: str) -> float:
    mine, theirs = (results[name][size]["seconds"]["step"]["least"] for name in (faster, slower))
    return mine / theirs


def _found(faster: str, slower: str, over: str, at: str, ratios: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {
        "faster": faster,
        "than": slower,
        "over": over,
        "at": at,
        "from": crossing(ratios),
        "ratios": [{over: size, "time_ratio": ratio} for size, ratio in ratios],
    }


def _change(engine: str, size: str, what: str, before: float, now: float) -> dict[str, Any]:
    return {"engine": engine, "size": size, "what": what, "before": before, "now": now, "times": now / before}


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
