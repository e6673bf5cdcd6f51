"""Pages as HTML: the templates, and how they write times, sizes and states."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from starlette.responses import HTMLResponse, RedirectResponse

import aistack
from aistack.api.console.assets import assets
from aistack.api.console.messages import MESSAGES
from aistack.api.console.visit import Live, Values, Visit

_STEPS = ((60, 1, "s"), (3600, 60, "min"), (36 * 3600, 3600, "h"), (float("inf"), 86400, "d"))
_MARKS: Mapping[str, str] = {
    "pass": "pass", "ok": "pass", "resolved": "pass",
    "warn": "warn", "warning": "warn", "partial": "warn", "refused": "warn", "medium": "warn",
    "fail": "fail", "failed": "fail", "critical": "fail", "killed": "fail", "unfinished": "fail",
    "high": "high", "running": "busy",
}  # fmt: skip
"""State, result or severity to the shape that stands for it; what is not here is idle."""


class Section(NamedTuple):
    """A place of the navigation."""

    name: str
    href: str
    title: str


SECTIONS = (
    Section("overview", "/console/", "Overview"),
    Section("issues", "/console/issues", "Issues"),
    Section("garbage", "/console/garbage", "Garbage"),
    Section("backups", "/console/backups", "Backups"),
    Section("host", "/console/host", "Host"),
    Section("keys", "/console/keys", "Keys"),
    Section("history", "/console/history", "History"),
)


def page(visit: Visit, template: str, values: Values, *, status: int = 200) -> HTMLResponse:
    """A page of the console for whoever is signed in.

    A message that the query names (``?done=resolved``) stands above it.
    """
    told = MESSAGES.get(visit.query.get("done", ""))
    text = _template(template).render(_common(visit) | {"told": told} | values)
    return HTMLResponse(text, status)


def live_page(visit: Visit, live: Live, values: Values) -> HTMLResponse:
    """A page that goes on being updated by its stream."""
    return page(visit, f"{live.name}.html", values | {"live": live.name})


def part(visit: Visit, live: Live, name: str, values: Values) -> str:
    """One part of a live page."""
    return _template(f"parts/{name}.html").render(_common(visit) | {"live": live.name} | values)


def outside(template: str, values: Values, *, status: int = 200) -> HTMLResponse:
    """A page for whoever is not signed in."""
    return HTMLResponse(_template(template).render(values), status)


def see(path: str, done: str = "") -> RedirectResponse:
    """Lead to a page after a form was taken, with a message by its name."""
    return RedirectResponse(f"{path}?done={done}" if done else path, 303)


def _common(visit: Visit) -> Values:
    return {"visit": visit, "sections": SECTIONS, "live": None}


def _template(name: str) -> Template:
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("aistack.api.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "assets": {name: asset.url for name, asset in assets().items()},
        "version": aistack.__version__,
        "now": lambda: datetime.now(UTC),
    }
    made.filters |= {
        "ago": ago, "moment": moment, "span": span, "size": size, "mark": mark, "words": words,
        "grouped": lambda number: f"{number:,}",
    }  # fmt: skip
    return made


def ago(at: datetime, now: datetime | None = None) -> str:
    """How long ago, or in how long, in one unit."""
    seconds = round(((now or datetime.now(UTC)) - at).total_seconds())
    return f"in {span(-seconds)}" if seconds < -1 else f"{span(max(0, seconds))} ago"


def moment(at: datetime) -> str:
    """A time for people who compare it with logs."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def span(seconds: float) -> str:
    """A length of time in one unit; below ten seconds with tenths, unless they are whole."""
    if 0 < seconds < 9.95 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    _, unit, name = next(step for step in _STEPS if seconds < step[0])
    return f"{seconds / unit:.0f} {name}"


def size(count: float | None) -> str:
    """A number of bytes."""
    if count is None:
        return "not known"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def mark(state: str) -> str:
    """Which shape stands for a state."""
    return _MARKS.get(state, "idle")


def words(name: Any) -> str:
    """An identifier as people write it."""
    return str(name).replace("_", " ")
