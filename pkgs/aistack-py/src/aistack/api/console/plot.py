"""Lines over the last hour, as paths of SVG: no text in it, so it stretches to any width."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from aistack.api.console.traffic import HOUR_S, PERIOD_S, Point

WIDTH, HEIGHT = 720, 120
"""Units of the drawing, not pixels."""
_GAP_S = 2.5 * PERIOD_S
"""Points further apart are not joined."""
_ROW_S = 300
_ROUND = (1, 2, 3, 4, 5, 6, 8, 10)
Value = Callable[[Point], float | None]


class Line(NamedTuple):
    """One measure."""

    name: str
    style: str
    """The class of its stroke, by which it differs in more than colour."""
    path: str
    now: str
    """Its last value, with the unit."""


class Row(NamedTuple):
    """Five minutes in the table that stands for the drawing."""

    begins: datetime
    cells: tuple[str, ...]


class Plot(NamedTuple):
    """What a template needs."""

    title: str
    top: str
    """The value at the upper edge."""
    lines: tuple[Line, ...]
    rows: tuple[Row, ...]


class Hour(NamedTuple):
    """The two plots, and their points for the script."""

    rates: Plot
    latency: Plot
    points: str


_RATES: tuple[tuple[str, str, Value], ...] = (
    ("answered", "solid", lambda p: p.answered),
    ("refused (4xx)", "dashed", lambda p: p.refused),
    ("failed (5xx)", "dotted", lambda p: p.failed),
)
_LATENCY: tuple[tuple[str, str, Value], ...] = (
    ("p50", "solid", lambda p: p.p50),
    ("p95", "dashed", lambda p: p.p95),
    ("p99", "dotted", lambda p: p.p99),
)


def hour(points: Sequence[Point], now: float) -> Hour:
    """The plots of the hour that ends now (seconds since 1970)."""
    begins = now - HOUR_S
    seen = [p for p in points if p.at >= begins]
    rounded = [[round(v, 5) if v is not None else None for v in p] for p in seen]
    return Hour(
        _plot("Requests a second", _RATES, seen, begins, rate, least=1.0),
        _plot("Time to answer", _LATENCY, seen, begins, latency, least=0.01),
        msgspec.json.encode(rounded).decode(),
    )


def rate(value: float) -> str:
    """Requests a second, without the unit."""
    if 0 < value < 0.05:
        return "<0.1"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def latency(seconds: float) -> str:
    """Seconds in a readable unit."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def round_up(value: float) -> float:
    """The next round number: 1, 2, 3, 4, 5, 6, 8, 10, 20 ..."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _ROUND if value <= step * power * (1 + 1e-9))


def _plot(
    title: str,
    measures: Sequence[tuple[str, str, Value]],
    points: Sequence[Point],
    begins: float,
    told: Callable[[float], str],
    least: float,
) -> Plot:
    values = [v for p in points for _, _, of in measures if (v := of(p)) is not None]
    top = round_up(max([least, *values]))
    lines = tuple(
        Line(name, style, _path(points, of, begins, top), _now(points, of, told))
        for name, style, of in measures
    )
    return Plot(title, told(top), lines, tuple(_rows(points, [of for *_, of in measures], told)))


def _now(points: Sequence[Point], of: Value, told: Callable[[float], str]) -> str:
    value = of(points[-1]) if points else None
    return "none" if value is None else told(value)


def _path(points: Sequence[Point], of: Value, begins: float, top: float) -> str:
    steps, last = [], -math.inf
    for point in points:
        value = of(point)
        if value is None:
            continue
        x = (point.at - begins) / HOUR_S * WIDTH
        y = HEIGHT - min(value / top, 1.0) * HEIGHT
        joined = point.at - last <= _GAP_S
        # A single point is drawn, too: round ends make a line of no length a dot.
        steps.append(f"L{x:.1f} {y:.1f}" if joined else f"M{x:.1f} {y:.1f}h0")
        last = point.at
    return "".join(steps)


def _rows(
    points: Sequence[Point], measures: Sequence[Value], told: Callable[[float], str]
) -> list[Row]:
    """The highest of each five minutes, newest first."""
    groups: dict[int, list[Point]] = {}
    for point in points:
        groups.setdefault(int(point.at // _ROW_S), []).append(point)
    rows = []
    for number, group in sorted(groups.items(), reverse=True):
        cells = []
        for of in measures:
            values = [v for p in group if (v := of(p)) is not None]
            cells.append(told(max(values)) if values else "none")
        rows.append(Row(datetime.fromtimestamp(number * _ROW_S, UTC), tuple(cells)))
    return rows
