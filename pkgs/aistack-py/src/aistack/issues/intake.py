"""A batch of events in one transaction: groups, counts, the newest whole, and who is to be told."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from aistack.issues import fingerprint as grouping
from aistack.issues.classify import category
from aistack.issues.fingerprint import Fingerprint, fingerprint
from aistack.issues.model import Event
from aistack.stores.postgres import Connection
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.issues", "issues.sql")
BUCKET_S = 300
_TITLE_CHARS = 200

Row = dict[str, Any]
Groups = dict[Fingerprint, list[Event]]


class Place(NamedTuple):
    """How far a spool is read."""

    spool: str
    segment: str | None
    offset: int | None
    next_segment: str
    next_offset: int


class Ingested(NamedTuple):
    """What a batch came to."""

    events: int
    ids: list[int]
    created: int
    regressed: int


async def write(conn: Connection, groups: Groups, *, ring: int, announce: bool) -> Ingested:
    """Store groups of events.

    Args:
        conn: inside a transaction.
        groups: of `grouped`.
        ring: how many events of an issue are kept whole.
        announce: whether people are to be told of new and regressed issues.
    """
    if not groups:
        return Ingested(0, [], 0, 0)
    if len(grouping.VERSIONS) > 1:
        groups = await _of_older_versions(conn, groups)
    found = await rows_of(conn, "upsert", _json([_row(*group) for group in groups.items()]))
    by_print = {Fingerprint(row["version"], bytes(row["digest"])): row for row in found}
    await _details(conn, groups, by_print, ring)
    await _tell(conn, found, announce=announce)
    return Ingested(
        events=sum(map(len, groups.values())),
        ids=[row["id"] for row in found],
        created=sum(row["created"] for row in found),
        regressed=sum(row["regressed"] for row in found),
    )


async def advance(conn: Connection, place: Place) -> bool:
    """Move a spool on; False: it is not where the place says."""
    values = {
        "spool": place.spool,
        "segment": place.next_segment,
        "end": place.next_offset,
        "before_segment": place.segment,
        "before_offset": place.offset,
    }
    return bool(await rows_of(conn, "advance", values))


async def _details(
    conn: Connection, groups: "Groups", by_print: dict[Fingerprint, Row], ring: int
) -> None:
    kept: list[tuple[Row, int, Event]] = []
    rates: Counter[tuple[int, int]] = Counter()
    generations: dict[tuple[str, int], datetime] = {}
    for key, events in groups.items():
        row = by_print[key]
        last = events[-ring:]
        kept += [(row, row["count"] - len(last) + n, e) for n, e in enumerate(last)]
        for event in events:
            rates[row["id"], bucket(event.at)] += 1
            if event.generation is not None:
                at = event.generation_at or event.at
                known = generations.get((event.host, event.generation), at)
                generations[event.host, event.generation] = min(known, at)
    occurrences = [
        {
            "issue": row["id"],
            "slot": number % ring,
            "number": number + 1,
            "at": event.at,
            "message": event.message,
            "stack": event.stack,
            "context": event.context,
            "request_id": event.request_id,
            "host": event.host,
            "generation": event.generation,
            "release": event.release,
            "source": event.source,
        }
        for row, number, event in kept
    ]
    await conn.execute(_QUERIES["occurrences"], _json(occurrences))
    buckets = [
        {"issue": issue, "bucket": span, "count": number} for (issue, span), number in rates.items()
    ]
    await conn.execute(_QUERIES["rates"], _json(buckets))
    if generations:
        values: Row = {
            "hosts": [host for host, _ in generations],
            "generations": [number for _, number in generations],
            "ats": list(generations.values()),
        }
        await conn.execute(_QUERIES["generations"], values)


async def _tell(conn: Connection, found: list[Row], *, announce: bool) -> None:
    counted: Counter[tuple[str, str, str]] = Counter()
    notices = []
    for row in found:
        for reason in ("created", "regressed"):
            if row[reason]:
                counted[reason, row["severity"], row["category"]] += 1
                notices.append((row["id"], "new" if reason == "created" else reason))
        if row["regressed"]:
            note = {"issue": row["id"], "event": "regressed", "detail": None}
            await conn.execute(_QUERIES["note"], note | {"actor": "tracker"})
    await count(conn, counted)
    if announce and notices:
        values = {"issues": [n[0] for n in notices], "reasons": [n[1] for n in notices]}
        await conn.execute(_QUERIES["notices"], values)


def grouped(events: Sequence[Event]) -> Groups:
    """Events by the newest fingerprint, the oldest of each group first."""
    groups: Groups = defaultdict(list)
    for event in events:
        groups[fingerprint(event)].append(event)
    for found in groups.values():
        found.sort(key=lambda event: event.at)
    return dict(groups)


async def _of_older_versions(conn: Connection, groups: Groups) -> Groups:
    """The same groups, under the older fingerprint where an issue has it already."""
    older = [version for version in sorted(grouping.VERSIONS) if version != max(grouping.VERSIONS)]
    prints = {
        fingerprint(event, version) for events in groups.values() for event in events
        for version in older
    }  # fmt: skip
    values = {"versions": [p.version for p in prints], "digests": [p.digest for p in prints]}
    known = {
        Fingerprint(row["fingerprint_version"], bytes(row["fingerprint"]))
        for row in await rows_of(conn, "known", values)
    }
    regrouped: Groups = defaultdict(list)
    for newest, events in groups.items():
        for event in events:
            candidates = [fingerprint(event, version) for version in older]
            regrouped[next((p for p in candidates if p in known), newest)].append(event)
    return dict(regrouped)


def _row(key: Fingerprint, events: Sequence[Event]) -> Row:
    last = events[-1]
    return {
        "version": key.version,
        "digest": key.digest.hex(),
        "kind": last.kind,
        "title": _title(last),
        "component": last.component,
        "severity": last.severity,
        "category": last.category or category(last.kind, last.message),
        "first": events[0].at,
        "last": last.at,
        "count": len(events),
        "generation": _newest_generation(events),
        "host": last.host,
        "tags": sorted({tag for tag in last.tags if tag}),
    }


def _json(rows: list[Row]) -> Row:
    return {"rows": msgspec.json.encode(rows).decode()}


def _title(event: Event) -> str:
    line = event.message.strip().partition("\n")[0]
    told = line if event.kind in ("message", "unit", "alert") else f"{event.kind}: {line}"
    return told if len(told) <= _TITLE_CHARS else told[: _TITLE_CHARS - 3] + "..."


def _newest_generation(events: Iterable[Event]) -> int | None:
    return max((e.generation for e in events if e.generation is not None), default=None)


def bucket(at: datetime) -> int:
    """The five minutes in which a moment lies, counted from 1970 on."""
    return int(at.timestamp() // BUCKET_S)


async def rows_of(conn: Connection, query: str, values: Row) -> list[Row]:
    """The rows of a named query."""
    return await (await conn.execute(_QUERIES[query], values)).fetchall()


async def count(conn: Connection, counted: Mapping[tuple[str, str, str], float]) -> None:
    """Add to the totals, by metric, severity and category."""
    if counted:
        values = {
            "metrics": [key[0] for key in counted],
            "severities": [key[1] for key in counted],
            "categories": [key[2] for key in counted],
            "values": [float(value) for value in counted.values()],
        }
        await conn.execute(_QUERIES["count_totals"], values)
