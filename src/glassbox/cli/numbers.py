"""Numbers, sizes and times as a person reads them: as many digits as carry meaning."""

from __future__ import annotations

from datetime import UTC, datetime

_SIZES = ("B", "kB", "MB", "GB", "TB")


def number(value: object) -> str:
    """1,234,567 · 1.873 · 3.0e-04 · anything else as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e15:
            return f"{int(value):,}"
        if 10_000 <= abs(value) < 1e15:
            return f"{value:,.0f}"
        return f"{value:.4g}" if abs(value) >= 1e-3 else f"{value:.1e}"
    return str(value)


def measured(value: float) -> str:
    """As `number`, but with all four digits, so that a value that changes keeps its width: 1.900 · 0.02300 · 3.0e-04"""
    if value.is_integer() or not 1e-3 <= abs(value) < 10_000:
        return number(value)
    return f"{value:#.4g}".rstrip(".")


def size(count: float) -> str:
    """Bytes in units of a thousand, as disks count: 12.3 MB."""
    value, unit = float(count), 0
    while value >= 999.5 and unit + 1 < len(_SIZES):
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_SIZES[unit]}" if unit == 0 or value >= 99.5 else f"{value:.1f} {_SIZES[unit]}"


def duration(seconds: float) -> str:
    """0.4 s · 12 s · 3:05 min · 2:03:05 h"""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02} h" if hours else f"{minutes}:{left:02} min"


def age(moment: datetime) -> str:
    """How long ago, in one unit: now · 5 min · 3 h · 12 d"""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return "now"
