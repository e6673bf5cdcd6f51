"""Issues in PostgreSQL: events come in by the batch, a group costs one row however many it has."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from aistack.errors import InvalidError, NotFoundError
from aistack.issues import fingerprint as grouping, intake
from aistack.issues.fingerprint import fingerprint
from aistack.issues.intake import Ingested, Place
from aistack.issues.model import (
    ACTIVE,
    Deed,
    Event,
    Happening,
    Issue,
    IssueChange,
    IssueDetail,
    IssueFilter,
    IssuePage,
    Occurrence,
    Severity,
)
from aistack.kit.signing import Signer
from aistack.settings import schema
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.issues", "issues.sql")
_LISTING = "issues"
_STEP = 500
"""Rows that are deleted, or read, at once."""
_LOCK = 0x746964796973
"""Any constant; with the database it names the right to delete what is too much."""
_YEARS = range(2, 9001)
"""In any zone PostgreSQL holds these as Python does."""

Row = dict[str, Any]


class Issues:
    """The issues of one database.

    Args:
        postgres: where they are.
        signer: of cursors.
        settings: bounds.
        announce: whether new and regressed issues are to be told to people.
    """

    def __init__(
        self, postgres: Postgres, signer: Signer, settings: schema.Issues, *, announce: bool = False
    ) -> None:
        self._postgres = postgres
        self._signer = signer
        self._settings = settings
        self._announce = announce

    async def progress(self, spool: str) -> tuple[str | None, int | None]:
        """Segment and offset up to which a spool is stored."""
        rows = await self._postgres.fetch(_QUERIES["progress"], {"spool": spool})
        return (rows[0]["segment"], rows[0]["offset"]) if rows else (None, None)

    async def ingest(
        self, events: Sequence[Event], place: Place | None = None, *, tell: bool = True
    ) -> Ingested | None:
        """Store events; all or none.

        Args:
            events: redacted and shaped, in order.
            place: of a spool: moved on in the same transaction, so nothing counts twice.
            tell: whether people are told of what is new or came back, if anybody is to be.

        Returns:
            None: the spool is not where ``place`` says; another process has stored these.

        Raises:
            UnavailableError: PostgreSQL does not answer; nothing is stored.
        """
        groups = await asyncio.to_thread(intake.grouped, events)
        async with self._postgres.transaction() as conn:
            if place is not None and not await intake.advance(conn, place):
                return None
            announce = self._announce and tell
            return await intake.write(
                conn, groups, ring=self._settings.occurrences, announce=announce
            )

    async def list(self, wanted: IssueFilter) -> IssuePage:
        """A page of issues.

        Raises:
            InvalidError: the cursor is not one of ours.
        """
        at, last = self._place(wanted.cursor)
        values = msgspec.structs.asdict(wanted) | {
            "statuses": _statuses(wanted),
            "at": at,
            "last": last,
            "limit": wanted.limit + 1,
        }
        rows = await self._postgres.fetch(_QUERIES["list"], values)
        more = len(rows) > wanted.limit
        issues = msgspec.convert(rows[: wanted.limit], list[Issue])
        return IssuePage(issues, more, self._cursor(issues[-1]) if more else None)

    async def ids(self, since: datetime | None = None) -> AsyncIterator[int]:
        """All that were seen since, by id; what changes while they are read is not lost."""
        values = {"since": since, "limit": _STEP}
        async for rows in self._postgres.pages(_QUERIES["ids"], values, after=0):
            for row in rows:
                yield row["id"]

    async def get(self, id: int) -> IssueDetail:  # noqa: A002 - the field's own name
        """An issue with all that belongs to it; raises `NotFoundError`."""
        values = {"id": id}
        rows = await self._postgres.fetch(_QUERIES["get"], values)
        if not rows:
            raise _unknown(id)
        occurrences = await self._postgres.fetch(_QUERIES["occurrences_of"], values)
        links = await self._postgres.fetch(_QUERIES["links_of"], values)
        history = await self._postgres.fetch(_QUERIES["history_of"], values)
        return IssueDetail(
            issue=msgspec.convert(rows[0], Issue),
            occurrences=msgspec.convert(occurrences, list[Occurrence]),
            links=[row["target"] for row in links],
            history=msgspec.convert(history, list[Happening]),
        )

    async def active(self) -> dict[Severity, int]:
        """How many issues are active, by severity; none: left out."""
        counts: dict[Severity, int] = {}
        for row in await self._postgres.fetch(_QUERIES["active"], {}):
            counts[row["severity"]] = counts.get(row["severity"], 0) + row["issues"]
        return counts

    async def recent(self, limit: int = 20) -> Sequence[Deed]:
        """What happened to issues last, newest first."""
        rows = await self._postgres.fetch(_QUERIES["recent"], {"limit": limit})
        return msgspec.convert(rows, tuple[Deed, ...])

    async def find(self, event: Event) -> int | None:
        """The issue that an event belongs to, if it is stored."""
        for version in sorted(grouping.VERSIONS):
            wanted = fingerprint(event, version)
            values: Row = {"version": wanted.version, "digest": wanted.digest}
            if rows := await self._postgres.fetch(_QUERIES["by_fingerprint"], values):
                return int(rows[0]["id"])
        return None

    async def change(self, id: int, change: IssueChange, actor: str) -> Issue:  # noqa: A002
        """Change an issue, and write down who did.

        Raises:
            NotFoundError: there is no such issue.
            InvalidError: the parts of the change do not fit together.
        """
        _check(id, change)
        async with self._postgres.transaction() as conn:
            ids = [id] if change.duplicate_of is None else [id, change.duplicate_of]
            rows = {row["id"]: row for row in await intake.rows_of(conn, "lock", {"ids": ids})}
            for one in ids:
                if one not in rows:
                    raise _unknown(one)
            if change.duplicate_of is not None:
                _check_other(rows[change.duplicate_of])
            if change.link:
                await conn.execute(_QUERIES["link"], {"issue": id, "target": change.link})
            await conn.execute(_QUERIES["change"], msgspec.structs.asdict(change) | {"id": id})
            note = {"issue": id, "event": change.status or "changed", "detail": _told(change)}
            await conn.execute(_QUERIES["note"], note | {"actor": actor})
            (now,) = await intake.rows_of(conn, "get", {"id": id})
            before = rows[id]
            if change.status == "resolved" and before["status"] != "resolved":
                seconds = (now["resolved_at"] - before["first_seen"]).total_seconds()
                keys = (now["severity"], now["category"])
                await intake.count(
                    conn,
                    {
                        ("resolved", *keys): 1,
                        ("resolution_seconds", *keys): max(0.0, seconds),
                    },
                )
        return msgspec.convert(now, Issue)

    async def tidy(self, now: datetime) -> int:
        """Evict what is least worth keeping beyond ``issues.most``, and old rates.

        Returns:
            How many issues went.
        """
        gone = await self._all_of("evict", {"most": self._settings.most})
        before = intake.bucket(now - timedelta(days=self._settings.rates_days))
        await self._all_of("forget_rates", {"before": before})
        await self._all_of("forget_notices", {})
        return gone

    async def fit(self) -> None:
        """Forget occurrences beyond ``issues.occurrences``, where it was larger before a start."""
        async with self._postgres.transaction(whole=True) as conn:
            await conn.execute(_QUERIES["forget_slots"], {"ring": self._settings.occurrences})

    async def _all_of(self, query: str, values: Row) -> int:
        """Delete a few at a time until all are gone, or another process does it."""
        gone, deleted = 0, _STEP
        while deleted == _STEP:
            async with self._postgres.transaction() as conn:
                (lock,) = await intake.rows_of(conn, "try_tidy", {"lock": _LOCK})
                if not lock["taken"]:
                    break
                found = await conn.execute(_QUERIES[query], values | {"limit": _STEP})
                deleted = found.rowcount
            gone += deleted
        return gone

    def _cursor(self, issue: Issue) -> str:
        place = (_LISTING, issue.last_seen, issue.id)
        return self._signer.sign(msgspec.msgpack.encode(place))

    def _place(self, cursor: str | None) -> tuple[datetime | None, int | None]:
        if not cursor:
            return None, None
        foreign = InvalidError(
            "this cursor is of another listing", pointer="/cursor", reason="cursor"
        )
        try:
            raw = self._signer.verify(cursor)
            listing, at, last = msgspec.msgpack.decode(raw, type=tuple[str, datetime, int])
        except msgspec.MsgspecError as exc:
            raise foreign from exc
        if listing != _LISTING:
            raise foreign
        return at, last


def _statuses(wanted: IssueFilter) -> list[str] | None:
    """Those that the filter asks for; None: any."""
    ended = (wanted.resolved_since, wanted.resolved_until, wanted.muted_until, wanted.duplicate_of)
    if wanted.status == "active":
        return list(ACTIVE) if all(one is None for one in ended) else None
    return None if wanted.status == "any" else [wanted.status]


def _unknown(id: int) -> NotFoundError:  # noqa: A002
    return NotFoundError(f"there is no issue {id}; aistack issues list shows them")


def _check(id: int, change: IssueChange) -> None:  # noqa: A002
    needs = {
        "in_generation": "resolved",
        "muted_until": "muted",
        "muted_until_count": "muted",
        "duplicate_of": "duplicate",
    }
    for name, status in needs.items():
        if getattr(change, name) is not None and change.status != status:
            raise InvalidError(f"{name} needs the status {status}", pointer=f"/{name}")
    if change.muted_until is not None and change.muted_until.year not in _YEARS:
        raise InvalidError("muted_until is too far away; leave it out", pointer="/muted_until")
    if change.status == "duplicate" and change.duplicate_of in (None, id):
        raise InvalidError("name another issue in duplicate_of", pointer="/duplicate_of")


def _check_other(row: Row) -> None:
    # Else two could be duplicates of each other, and nobody would see either.
    if row["status"] == "duplicate" and row["duplicate_of"] is not None:
        raise InvalidError(
            f"issue {row['id']} is itself a duplicate, of {row['duplicate_of']}: name that one",
            pointer="/duplicate_of",
        )


def _told(change: IssueChange) -> str:
    given = {k: v for k, v in msgspec.structs.asdict(change).items() if v is not None}
    return ", ".join(f"{name}: {value}" for name, value in given.items())
