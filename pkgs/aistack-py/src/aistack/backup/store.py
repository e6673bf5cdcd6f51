"""What PostgreSQL remembers of backups."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb

from aistack.backup.model import RunRecord, RunReport, Type
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.backup", "backup.sql")


class PartState(Struct, frozen=True):
    """How the last try of a part in a repository went."""

    repository: str
    part: str
    state: str
    bytes: int
    seconds: float
    last_ok_at: datetime | None


class RepositoryState(Struct, frozen=True):
    """What was last seen of a repository."""

    name: str
    free_bytes: int | None
    verified_at: datetime | None
    verify_ok: bool | None


class RunState(Struct, frozen=True):
    """A run as it is known now."""

    id: str
    type: Type
    started_at: datetime
    finished_at: datetime | None
    state: str
    """``running`` is also said of one that was killed, until the next begins."""
    error: str | None


class DrillResult(Struct, frozen=True):
    """How a drill went."""

    repository: str
    run: str
    started_at: datetime
    finished_at: datetime
    ok: bool
    rto_s: float | None
    rpo_s: float | None
    report: dict[str, Any]


class Memory:
    """The tables of backups. The pool of ``postgres`` is open."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def begin(self, run: str, kind: Type, started_at: datetime) -> None:
        """A run begins; those before it that have no end were killed."""
        await self._do("unfinished")
        await self._do("begin_run", id=run, type=kind, started_at=started_at)

    async def end(self, report: RunReport, record: RunRecord | None) -> None:
        """A run has ended."""
        for one in report.outcomes:
            await self._do(
                "note_part", repository=one.repository, part=one.part, state=one.state,
                bytes=one.bytes, seconds=one.seconds,
            )  # fmt: skip
        await self._do(
            "end_run", id=report.id, state=report.state, report=_json(report),
            record=_json(record) if record is not None else None,
        )  # fmt: skip
        await self._do("forget_old")

    async def space(self, repository: str, free_bytes: int | None) -> None:
        """So much is free."""
        await self._do("note_space", name=repository, free_bytes=free_bytes)

    async def verified(self, repository: str, *, ok: bool) -> None:
        """A repository was read back."""
        await self._do("note_verified", name=repository, ok=ok)

    async def drilled(
        self,
        repository: str,
        run: str,
        started_at: datetime,
        *,
        ok: bool,
        rto_s: float | None,
        rpo_s: float | None,
        report: dict[str, Any],
    ) -> None:
        """A drill has ended."""
        await self._do(
            "note_drill", repository=repository, run=run, started_at=started_at, ok=ok,
            rto_s=rto_s, rpo_s=rpo_s, report=_json(report),
        )  # fmt: skip

    async def runs(self, limit: int = 20) -> list[RunState]:
        """The newest runs, newest first."""
        return msgspec.convert(await self._fetch("runs", limit=limit), list[RunState])

    async def parts(self, repositories: list[str]) -> list[PartState]:
        """Every part in each of these repositories."""
        rows = await self._fetch("parts", repositories=repositories)
        return msgspec.convert(rows, list[PartState])

    async def repositories(self, repositories: list[str]) -> list[RepositoryState]:
        """What was last seen of these."""
        rows = await self._fetch("repositories", repositories=repositories)
        return msgspec.convert(rows, list[RepositoryState])

    async def last_drill(self) -> DrillResult | None:
        """The last one, however it went."""
        rows = await self._fetch("last_drill")
        return msgspec.convert(rows[0], DrillResult) if rows else None

    async def last_good_drill(self) -> dict[str, Any] | None:
        """End, RTO and RPO of the last one that went well."""
        rows = await self._fetch("last_good_drill")
        return rows[0] if rows else None

    async def age_s(self, repositories: list[str]) -> float | None:
        """Seconds since PostgreSQL last reached one of these; outside of the pool, as probes do."""
        async with self._postgres.dedicated() as connection:
            found = await connection.execute(_QUERIES["age"], {"repositories": repositories})
            row = await found.fetchone() or {}
        return row.get("seconds")

    async def exposed_s(self) -> float | None:
        """Seconds of writes that are in no repository yet."""
        rows = await self._fetch("exposed")
        seconds = rows[0]["seconds"] if rows else None
        return round(seconds, 1) if seconds is not None else None

    async def archive_lag_s(self) -> float | None:
        """Seconds for which written WAL has not been safe; None: nothing is archived."""
        rows = await self._fetch("archive_lag")
        return rows[0]["lag"] if rows else None

    async def _do(self, name: str, /, **values: Any) -> None:
        async with self._postgres.read() as connection:
            await connection.execute(_QUERIES[name], values)

    async def _fetch(self, name: str, /, **values: Any) -> list[dict[str, Any]]:
        return await self._postgres.fetch(_QUERIES[name], values)


def _json(value: Any) -> Jsonb:
    return Jsonb(msgspec.to_builtins(value))
