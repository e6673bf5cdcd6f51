"""Numbers over time, and their drawing as inline SVG."""

import html
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from aistack.issues.analysis import Analysis, spans
from aistack.issues.model import SEVERITIES, Severity
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.issues", "analysis.sql")
_BARS = 96
"""Most bars of the large plot."""
_STEPS = 48
"""Steps of a small one."""
COLORS: Mapping[Severity, str] = {
    "critical": "#8b1a1a",
    "high": "#d1495b",
    "medium": "#edae49",
    "low": "#66a182",
    "info": "#8d99ae",
}


class Plots(Struct, frozen=True):
    """What is drawn."""

    begins: datetime
    hours_a_bar: int
    bars: list[dict[Severity, int]]
    """Events by severity, oldest first."""
    sparklines: dict[int, list[int]]
    """Issue to its events a step of the window, oldest first."""


async def plots(postgres: Postgres, found: Analysis) -> Plots:
    """The numbers for an analysis' window and the issues on top of it."""
    window = timedelta(hours=found.hours)
    values: dict[str, Any] = spans(found.at, window)
    width = max(1, -(-found.hours // _BARS))
    number = -(-found.hours // width)
    bars: list[dict[Severity, int]] = [dict.fromkeys(SEVERITIES, 0) for _ in range(number)]
    for row in await postgres.fetch(_QUERIES["timeline"], values):
        bars[max(0, number - 1 - row["hour"] // width)][row["severity"]] += row["events"]
    values |= {"step": max(1, values["spans"] // _STEPS), "issues": [one.id for one in found.top]}
    lines: dict[int, list[int]] = {one.id: [0] * _STEPS for one in found.top}
    for row in await postgres.fetch(_QUERIES["sparklines"], values):
        lines[row["issue"]][max(0, _STEPS - 1 - row["step"])] += row["events"]
    return Plots(found.at - window, width, bars, lines)


def timeline(drawn: Plots, width: int = 920, height: int = 200) -> str:
    """Stacked bars with an axis; each bar tells its numbers when pointed at."""
    most = max((sum(bar.values()) for bar in drawn.bars), default=0) or 1
    left, bottom = 48, 24
    step = (width - left) / max(1, len(drawn.bars))
    scale = (height - bottom - 8) / most
    parts = [_svg(width, height, "Events over time")]
    for share in (0.0, 0.5, 1.0):
        y = height - bottom - most * share * scale
        parts.append(
            f'<line x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{most * share:g}</text>'
        )
    for n, bar in enumerate(drawn.bars):
        at = drawn.begins + timedelta(hours=n * drawn.hours_a_bar)
        told = ", ".join(f"{count} {name}" for name, count in bar.items() if count)
        y = height - bottom + 0.0
        parts.append(f"<g><title>{at:%F %H:%M}: {html.escape(told or 'nothing')}</title>")
        for name, count in bar.items():
            if count:
                y -= count * scale
                parts.append(
                    f'<rect x="{left + n * step:.1f}" y="{y:.1f}" width="{max(1, step - 1):.1f}" '
                    f'height="{count * scale:.1f}" fill="{COLORS[name]}"/>'
                )
        parts.append("</g>")
        if n % max(1, len(drawn.bars) // 8) == 0:
            x = left + n * step
            parts.append(f'<text x="{x:.1f}" y="{height - 6}">{at:%m-%d %H:%M}</text>')
    return "".join(parts) + "</svg>"


def sparkline(values: Sequence[int], width: int = 144, height: int = 24) -> str:
    """A small line without axes."""
    most = max(values, default=0) or 1
    step = width / max(1, len(values) - 1)
    points = " ".join(
        f"{n * step:.1f},{height - 2 - value / most * (height - 4):.1f}"
        for n, value in enumerate(values)
    )
    line = f'<polyline points="{points}" fill="none" stroke="#444" stroke-width="1.5"/>'
    return _svg(width, height, f"at most {most}") + line + "</svg>"


def _svg(width: int, height: int, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{html.escape(label)}">'
    )
