"""What the counts say: what is new, came back, spikes, grows, comes together, or is over."""

import asyncio
import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any, Literal

import msgspec
from msgspec import Struct

from aistack.issues.intake import BUCKET_S, bucket
from aistack.issues.model import Category, Severity, Status
from aistack.settings import schema
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.issues", "analysis.sql")
_HOUR = timedelta(hours=1)
_SPAN = timedelta(seconds=BUCKET_S)
_UNLIKELY = 1e-6
"""Chance of a false alarm, an issue and look, where events come as a Poisson process."""
_FEWEST = 5
"""Fewer events in an hour are no spike, however rare they were."""
_TREND = 1e-3
_TOGETHER = 1e-4
_COMPONENTS = 30
_FEWEST_SPANS = 3
_LISTED = 50
_SPIKE_WINDOW = timedelta(days=7)
_AROUND = {"limit": 10, "span": timedelta(days=1)}
"""The newest generations, and how far around their making events are counted."""

Trend = Literal["rising", "falling", "steady"]
Row = dict[str, Any]


class Rated(Struct, frozen=True):
    """An issue in the window."""

    id: int
    kind: str
    title: str
    component: str
    severity: Severity
    category: Category
    status: Status
    count: int
    first_seen: datetime
    last_seen: datetime
    regressed_at: datetime | None
    regressions: int
    first_generation: int | None
    last_generation: int | None
    last_host: str
    events: int
    """Within the window."""
    latest: int
    """In the last hour."""
    per_hour: float
    """Before the last hour, over the window or since the issue's first event."""
    trend: Trend
    """The newer half of the window against the older one."""


class Spike(Struct, frozen=True):
    """More events in the last hour than the past explains."""

    issue: Rated
    expected: float
    """Events of an hour, by the issue's own past."""
    chance: float
    """That so many or more come by chance."""


class Pair(Struct, frozen=True):
    """Two components that fail in the same five minutes more than by chance."""

    one: str
    other: str
    together: int
    """Spans of five minutes in which both did."""
    expected: float
    chance: float


class Generation(Struct, frozen=True):
    """A NixOS generation, and what came with it."""

    host: str
    generation: int
    at: datetime
    new: int
    """Issues first seen in it."""
    before: int
    """Kept occurrences on this host in the day before it ..."""
    after: int
    """... and in the day from it on."""


class Quiet(Struct, frozen=True):
    """An active issue that has not been seen for long."""

    id: int
    title: str
    component: str
    severity: Severity
    last_seen: datetime
    count: int


class Analysis(Struct, frozen=True):
    """All of it, for one window of time."""

    at: datetime
    hours: int
    events: int
    issues: int
    top: list[Rated]
    """By events in the window."""
    new: list[Rated]
    regressed: list[Rated]
    spiking: list[Spike]
    rising: list[Rated]
    together: list[Pair]
    generations: list[Generation]
    quiet: list[Quiet]


async def analyze(
    postgres: Postgres, settings: schema.Issues, window: timedelta, now: datetime | None = None
) -> Analysis:
    """Look at all issues that were seen within the window.

    Args:
        postgres: where they are.
        settings: from when on an issue is quiet.
        window: how far to look back, at least two hours.
        now: the end of the window; None: this moment.
    """
    now = now or datetime.now(UTC)
    values: Row = spans(now, window) | {
        "half": window / 2 // _SPAN,
        "least": _FEWEST,
        "limit": _LISTED,
    }
    quiet = {"now": now, "quiet": timedelta(days=settings.quiet_days), "limit": _LISTED}
    # Each by a connection of its own: the server has more than one core.
    rows, components, generations, over = await asyncio.gather(
        _ask(postgres, "rates", values),
        _ask(postgres, "components", values | {"limit": _COMPONENTS}),
        _ask(postgres, "generations", _AROUND),
        _ask(postgres, "quiet", quiet),
    )
    lists: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        lists[row["list"]].append(row)
    rated = {name: [_rated(row, window, now) for row in found] for name, found in lists.items()}
    return Analysis(
        at=now,
        hours=window // _HOUR,
        events=rows[0]["all_events"] if rows else 0,
        issues=rows[0]["all_issues"] if rows else 0,
        top=rated.get("top", []),
        new=rated.get("new", []),
        regressed=rated.get("regressed", []),
        spiking=_spikes(rated.get("spiking", []), window, now),
        rising=[one for one in rated.get("rising", []) if one.trend == "rising"],
        together=_together(components, window),
        generations=msgspec.convert(generations, list[Generation]),
        quiet=msgspec.convert(over, list[Quiet]),
    )


async def _ask(postgres: Postgres, name: str, values: Row) -> list[Row]:
    async with postgres.transaction() as conn:
        await conn.execute(_QUERIES["settings"])
        return await (await conn.execute(_QUERIES[name], values)).fetchall()


async def spiking(postgres: Postgres, now: datetime) -> list[int]:
    """The active issues that spike now, against the last week."""
    values = spans(now, _SPIKE_WINDOW) | {"least": _FEWEST}
    found = []
    for row in await postgres.fetch(_QUERIES["spiking_candidates"], values):
        hours = _past_hours(row["first_seen"], _SPIKE_WINDOW, now)
        _, chance = _surprise(row["latest"], row["events"], hours)
        # What is an hour old has no past: it was told as new.
        if row["first_seen"] < now - _HOUR and chance < _UNLIKELY:
            found.append(int(row["id"]))
    return found


def spans(now: datetime, window: timedelta) -> Row:
    """The window as the queries have it: its last five minutes, and their number."""
    return {"now": now, "window": window, "last": bucket(now), "spans": window // _SPAN}


def tail(count: int, expected: float) -> float:
    """The chance that a Poisson process of this mean, above 0, gives so many events or more."""
    if count <= expected:
        # Near one half or above: nothing that anybody would call unlikely.
        return 1.0 - sum(_point(k, expected) for k in range(count))
    term, total, k = _point(count, expected), 0.0, count
    while term > total * 1e-17:
        total += term
        k += 1
        term *= expected / k
    return total


def _point(k: int, expected: float) -> float:
    return math.exp(k * math.log(expected) - expected - math.lgamma(k + 1))


def _surprise(latest: int, past: int, hours: float) -> tuple[float, float]:
    """Expected events of an hour, and the chance of so many; one more event makes it cautious."""
    expected = (past + 1) / max(1.0, hours)
    return expected, tail(latest, expected)


def _past_hours(first_seen: datetime, window: timedelta, now: datetime) -> float:
    """Hours of the window before the last one in which the issue was known."""
    return max(0.0, min(window, now - first_seen) / _HOUR - 1)


def _rated(row: Row, window: timedelta, now: datetime) -> Rated:
    newer, older = row["newer"], row["older"]
    trend: Trend = "steady"
    # Without an older half there is nothing to compare with.
    if row["first_seen"] <= now - window * 0.75:
        if newer > older + 1 and tail(newer, older + 1) < _TREND:
            trend = "rising"
        elif older > newer + 1 and tail(older, newer + 1) < _TREND:
            trend = "falling"
    past = _past_hours(row["first_seen"], window, now)
    more = {"per_hour": (row["events"] - row["latest"]) / max(1.0, past), "trend": trend}
    fields = {name: row[name] for name in Rated.__struct_fields__ if name in row}
    return Rated(**fields, **more)


def _spikes(candidates: list[Rated], window: timedelta, now: datetime) -> list[Spike]:
    found = []
    for one in candidates:
        hours = _past_hours(one.first_seen, window, now)
        expected, chance = _surprise(one.latest, one.events - one.latest, hours)
        if chance < _UNLIKELY:
            found.append(Spike(one, expected, chance))
    return sorted(found, key=lambda spike: spike.chance)


def _together(rows: list[Row], window: timedelta) -> list[Pair]:
    number = max(1, window // _SPAN)
    seen = [set(row["buckets"].split(",")) for row in rows]
    pairs = []
    for (a, one), (b, other) in combinations(enumerate(seen), 2):
        both = len(one & other)
        # What is there in every span says nothing about another: its expectation is as high.
        expected = len(one) * len(other) / number
        if both < _FEWEST_SPANS or both <= expected:
            continue  # most pairs, and the chance of as few is dear to compute
        if (chance := tail(both, expected)) < _TOGETHER:
            names = sorted((rows[a]["component"], rows[b]["component"]))
            pairs.append(Pair(names[0], names[1], both, expected, chance))
    return sorted(pairs, key=lambda pair: (pair.chance, pair.one, pair.other))[:_LISTED]
