"""The ledger of one-shot jobs: each run is a row from its first moment, ended or not."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import psycopg
from msgspec import Struct
from psycopg.types.json import Jsonb

from aistack.errors import AistackError
from aistack.stores.postgres import Connection, Postgres
from aistack.stores.sqlfile import load_queries

log = logging.getLogger(__name__)

Job = Literal[
    "reindex", "migrate", "ingest", "gc", "gc_undo", "tls_renew", "tls_deploy",
    "backup", "backup_expire", "backup_verify", "backup_drill",
]  # fmt: skip
"""All jobs: each is a label of metrics, so there are few. A new one needs no migration."""
State = Literal["running", "ok", "failed", "unfinished"]

KEPT = 100
"""Rows a job; the totals count the pruned ones too."""
_SPACE = 0x6A6F6273
"""First half of the advisory locks that running jobs hold; the second is the run's number."""
_DETAIL_BYTES = 2000
_ERROR_CHARS = 500

_QUERIES = load_queries("aistack.jobs", "jobs.sql")


class JobRun(Struct, frozen=True):
    """One run as it is known now."""

    id: int
    job: str
    started_at: datetime
    finished_at: datetime | None
    state: State
    """``unfinished``: its process ended without a word (killed, or lost the database)."""
    detail: dict[str, Any]


class JobTotals(Struct, frozen=True):
    """Every run that there ever was of one job; times in seconds since 1970, None: never."""

    job: str
    started: int
    ok: int
    failed: int
    last_ok: float | None
    last_failed: float | None


@dataclass
class Run:
    """A run under way, in the hands of the job."""

    detail: dict[str, Any] = field(default_factory=dict)
    """Counts and the like, as JSON; kept up to 2000 bytes."""
    failed: bool = False
    """Set by a job that ends without an exception and has failed all the same."""


class Ledger:
    """The runs in one database. Needs no open pool: a run has a connection of its own."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    @asynccontextmanager
    async def run(self, job: Job) -> AsyncIterator[Run]:
        """Record a run: begun now, ended with the block; an exception is a failure and goes on.

        A database that has no ledger yet (before its migration) is asked again at the end.

        Raises:
            UnavailableError: the database does not answer when the run begins. When it ends, that
                is only logged: the job's own result stands.
        """
        run = Run()
        started_at = datetime.now(UTC)
        async with AsyncExitStack() as resources:
            conn = await resources.enter_async_context(self._postgres.dedicated())
            number = await _start(conn, job, None) if await _has_ledger(conn) else None
            try:
                yield run
            except BaseException as exc:
                run.failed = True
                run.detail["error"] = _told(exc)
                raise
            finally:
                await self._end(conn, job, number, run, started_at)

    async def _end(
        self, conn: Connection, job: Job, number: int | None, run: Run, started_at: datetime
    ) -> None:
        values = {
            "job": job,
            "outcome": "failed" if run.failed else "ok",
            "detail": Jsonb(_short(run.detail)),
            "keep": KEPT,
            "space": _SPACE,
        }
        try:
            try:
                await _finish(conn, values, number, started_at)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                # The job's connection lay idle and was lost on the way: once more, on a new one.
                async with self._postgres.dedicated() as fresh:
                    await _finish(fresh, values, number, started_at)
        except (psycopg.Error, AistackError) as exc:
            log.warning("the end of job %s could not be recorded: %s", job, exc)

    async def runs(self, job: Job | None = None, *, limit: int = 20) -> list[JobRun]:
        """The newest runs, newest first, of one job or all."""
        values = {"job": job, "limit": limit, "space": _SPACE}
        async with self._postgres.dedicated() as conn:
            rows = await (await conn.execute(_QUERIES["runs"], values)).fetchall()
        return msgspec.convert(rows, list[JobRun])

    async def totals(self) -> list[JobTotals]:
        """The totals of every job that was ever started, by name; reads through the pool."""
        async with self._postgres.read() as conn:
            rows = await (await conn.execute(_QUERIES["totals"])).fetchall()
        return msgspec.convert(rows, list[JobTotals])


async def _has_ledger(conn: Connection) -> bool:
    row = await (await conn.execute(_QUERIES["has_ledger"])).fetchone()
    return bool(row and row["found"])


async def _start(conn: Connection, job: Job, started_at: datetime | None) -> int:
    """The row of a new run, and the lock that tells that it lives; both or none."""
    async with conn.transaction():
        values = {"job": job, "started_at": started_at}
        row = await (await conn.execute(_QUERIES["start"], values)).fetchone()
        number = int((row or {})["id"])
        await conn.execute(_QUERIES["hold"], {"space": _SPACE, "id": number})
    return number


async def _finish(
    conn: Connection, values: dict[str, Any], number: int | None, started_at: datetime
) -> None:
    async with conn.transaction():
        if number is None:
            if not await _has_ledger(conn):
                return
            number = await _start(conn, values["job"], started_at)
        await conn.execute(_QUERIES["finish"], values | {"id": number})
        await conn.execute(_QUERIES["prune"], values)


def _told(exc: BaseException) -> str:
    """What a run says of its failure: our own words, of anything else but the kind."""
    told = exc.detail if isinstance(exc, AistackError) else type(exc).__name__
    return told[:_ERROR_CHARS]


def _short(detail: dict[str, Any]) -> dict[str, Any]:
    """The detail as plain JSON without U+0000, or of one that is too long only the error."""
    raw = msgspec.json.encode(detail, enc_hook=str).replace(b"\\u0000", b"")
    if len(raw) > _DETAIL_BYTES:
        error = {"error": detail["error"]} if "error" in detail else {}
        return {"too_long": True, **error}
    plain: dict[str, Any] = msgspec.json.decode(raw)
    return plain
