"""The PostgreSQL pool: transactions, reads, notifications and error translation."""

import asyncio
import logging
import re
import select
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, LiteralString, Protocol, Self
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, AsyncCursor, conninfo, pq
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from aistack.errors import ConfigError, UnavailableError
from aistack.kit import tracing
from aistack.settings import schema
from aistack.settings.load import read_secret

log = logging.getLogger(__name__)

Connection = AsyncConnection[DictRow]

_STATEMENT_CHARS = 2000
_COMMENT = re.compile(r"--[^\n]*")
_WORD = re.compile(r"[A-Za-z]+")

_LOOK_S = 1.0
"""How often the pool is looked at for its metrics."""
_CROWDED = 0.8
_BUGS = ("54", "55000")
"""Beginnings of SQLSTATEs that are about the statement: a limit of the program, a wrong state."""
_AWAY = ("08", "57P", "53300")
"""Beginnings of those that say that no connection is to be had."""
_ALIVE = {
    "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}  # fmt: skip
"""A host that is gone without a word is missed within a minute: by itself Linux waits for hours.
Whoever names one of these in postgres.dsn knows better."""
_MISSED = "select set_config(name, value, false) from unnest(%s::text[], %s::text[]) t(name, value)"
_MISSED_BY_SERVER = [f"tcp_{name.removeprefix('tcp_')}" for name in _ALIVE]
"""The same for the server's side: what a lost client held is free again as soon."""
_BEFORE_ALL = UUID(int=0)


class PoolWatch(Protocol):
    """Who is told how the pool does."""

    def waited(self, seconds: float) -> None:
        """A connection was got after so long."""

    def sized(self, *, idle: int, in_use: int, waiting: int) -> None:
        """The pool as it is now."""


def check_dsn(dsn: str, setting: str) -> None:
    """Raise `ConfigError`, which names the setting, for what libpq cannot read."""
    try:
        conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as exc:
        # Without libpq's words: they repeat a part of it, and a password may be in it.
        raise ConfigError(
            f"{setting} is no connection string of PostgreSQL: host=HOST dbname=NAME user=NAME, or"
            " postgresql://NAME@HOST/NAME"
        ) from exc


def connection_string(settings: schema.Postgres) -> str:
    """The libpq string, with the password read from its file."""
    check_dsn(settings.dsn, "postgres.dsn")
    extra: dict[str, Any] = {"connect_timeout": max(2, int(settings.timeout_s))}
    if settings.password_file:
        extra["password"] = read_secret(settings.password_file, "postgres.password_file")
    alive = {k: v for k, v in _ALIVE.items() if k not in conninfo.conninfo_to_dict(settings.dsn)}
    return conninfo.make_conninfo(settings.dsn, application_name="aistack", **alive, **extra)


def forbidden(exc: psycopg.errors.InsufficientPrivilege, dsn: str) -> ConfigError:
    """What to tell of a role that may not do what is needed."""
    role = conninfo.conninfo_to_dict(dsn).get("user") or next(
        (one.val or b"").decode() for one in pq.Conninfo.get_defaults() if one.keyword == b"user"
    )
    return ConfigError(
        f"PostgreSQL's role {role} may not do this: {exc.diag.message_primary}. aistack's database"
        f" and tables belong to one role: name it in postgres.dsn, or have a superuser say ALTER"
        f' DATABASE ... OWNER TO "{role}" (of tables that are there: REASSIGN OWNED BY ... TO'
        f' "{role}")'
    )


class Postgres:
    """A pool of connections; rows are dictionaries.

    The caller of `transaction` decides what is one unit; nothing below commits. A request waits for
    a connection at most ``timeout_s``, and only so many wait: the others are told at once to come
    back later.
    """

    def __init__(self, settings: schema.Postgres, watch: PoolWatch | None = None) -> None:
        self._settings = settings
        self._watch = watch
        self._looked = 0.0
        self._turns = asyncio.Semaphore(settings.pool_max)
        self._waiting = 0
        self.dsn = connection_string(settings)
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self.dsn,
            min_size=settings.pool_min,
            max_size=settings.pool_max,
            timeout=settings.timeout_s,
            # So long it tries by itself to connect again, then the next request does. It doubles
            # its pauses: by its own five minutes, what was away for one was missed for another.
            reconnect_timeout=settings.timeout_s,
            open=False,
            configure=self._configure,
            kwargs={"row_factory": dict_row, "autocommit": True, **_cursors()},
        )

    async def _configure(self, conn: Connection) -> None:
        """A statement that runs away ends, and so does a transaction that nobody goes on with."""
        milliseconds = str(round(self._settings.statement_timeout_s * 1000))
        await conn.execute(
            "select set_config('statement_timeout', %(ms)s, false),"
            " set_config('idle_in_transaction_session_timeout', %(ms)s, false)",
            {"ms": milliseconds},
        )

    async def check_capacity(self, processes: int) -> None:
        """Check that the server has room for the pools of so many processes.

        Raises:
            ConfigError: it never has, even with nobody else on it.
        """
        rows = await self.fetch(
            "select current_setting('max_connections')::int"
            " - current_setting('superuser_reserved_connections')::int as room",
            {},
        )
        # The indexer has a connection of its own, outside the pool.
        wanted, room = processes * (self._settings.pool_max + 1), rows[0]["room"]
        said = f"postgres.pool_max of {self._settings.pool_max} for {processes} processes"
        if wanted > room:
            raise ConfigError(
                f"{said} needs {wanted} connections, the server has {room}: lower pool_max, or"
                " raise max_connections of PostgreSQL"
            )
        if wanted > room * _CROWDED:
            log.warning("%s takes %d of the server's %d connections", said, wanted, room)

    async def open(self) -> None:
        """Start the pool without waiting for the server: it may come later."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Give all connections back."""
        await self._pool.close()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """A connection in autocommit, for single statements."""
        with _translated(self.dsn):
            async with self._connection() as conn:
                yield conn

    async def fetch(
        self, query: LiteralString, values: dict[str, Any], *, binary: bool = False
    ) -> list[DictRow]:
        """All rows of one statement that only reads; binary is cheaper for many vectors.

        Asked once more where the connection breaks on the way: a restart of the server is then a
        wait for its return (at most ``postgres.timeout_s``), not an error.
        """
        conn: Connection | None = None
        with _translated(self.dsn):
            try:
                async with self._connection() as conn:
                    return await (await conn.execute(query, values, binary=binary)).fetchall()
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if conn is None or not conn.broken:
                    raise
            async with self._connection() as conn:
                return await (await conn.execute(query, values, binary=binary)).fetchall()

    async def pages(
        self,
        query: LiteralString,
        values: dict[str, Any],
        *,
        after: UUID | int = _BEFORE_ALL,
        binary: bool = False,
    ) -> AsyncGenerator[list[DictRow], None]:
        """All rows of a statement that reads by the key ``id``, a page after the other.

        Args:
            query: of the rows whose id is beyond ``after``, in their order, at most ``limit``.
            values: its values, without ``after``.
            after: what is before all ids, where they are not drawn.
            binary: as of `fetch`.
        """
        while rows := await self.fetch(query, values | {"after": after}, binary=binary):
            yield rows
            after = rows[-1]["id"]

    @asynccontextmanager
    async def transaction(self, *, whole: bool = False) -> AsyncIterator[Connection]:
        """A connection inside one transaction; it commits when the block ends without error.

        Args:
            whole: it is about a whole collection, so no statement_timeout holds for it.
        """
        with _translated(self.dsn):
            async with self._connection() as conn, conn.transaction():
                if whole:
                    await conn.execute("set local statement_timeout = 0")
                yield conn

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection that did not die while it lay idle, as far as this side can know.

        Not by the pool's own ``check``: it waits a second after the first dead connection, two
        after the next, and so on; a pool that a restart of the server cut off never came back in
        time.
        """
        start = time.perf_counter()
        end = start + self._settings.timeout_s
        async with self._turn():
            while True:
                left = max(0.0, end - time.perf_counter())
                async with self._pool.connection(timeout=left) as conn:
                    if await _lives(conn):
                        if self._watch is not None:
                            self._tell(self._watch, start)
                        yield conn
                        return

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One of as many as the pool has connections; a bounded number waits for it.

        Not by the pool's own ``max_waiting``: who gave up waiting counts there until a connection
        comes. So an outage of minutes filled it, and then it refused everybody for ever, for it
        refuses before it tries to connect.
        """
        if self._turns.locked() and 0 < self._settings.waiting_max <= self._waiting:
            raise TooManyRequests(f"{self._waiting} wait already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await self._turns.acquire()
        except TimeoutError:
            raise PoolTimeout("all connections are in use") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    def _tell(self, watch: PoolWatch, start: float) -> None:
        now = time.perf_counter()
        watch.waited(now - start)
        if now - self._looked > _LOOK_S:
            self._looked = now
            found = self._pool.get_stats()
            idle = found.get("pool_available", 0)
            watch.sized(
                idle=idle,
                in_use=found.get("pool_size", 0) - idle,
                waiting=self._waiting,
            )

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[Connection]:
        """A connection outside the pool, for LISTEN and session locks."""
        with _translated(self.dsn):
            conn = await AsyncConnection.connect(self.dsn, autocommit=True, row_factory=dict_row)
            async with conn:
                await conn.execute(_MISSED, (_MISSED_BY_SERVER, [str(v) for v in _ALIVE.values()]))
                yield conn

    async def ping(self) -> None:
        """Raise `UnavailableError` unless the server answers."""
        async with self.read() as conn:
            await conn.execute("select 1")


class _Traced(AsyncCursor[DictRow]):
    """A cursor whose statements are spans, without their values."""

    async def execute(self, query: Any, *args: Any, **options: Any) -> Self:
        """Run a statement."""
        with tracing.call(*_told(query if isinstance(query, str) else "")):
            return await super().execute(query, *args, **options)

    async def executemany(self, query: Any, *args: Any, **options: Any) -> None:
        """Run a statement for each of many values."""
        with tracing.call(*_told(query if isinstance(query, str) else "")):
            await super().executemany(query, *args, **options)


def _cursors() -> dict[str, Any]:
    return {"cursor_factory": _Traced} if tracing.on() else {}


@lru_cache(maxsize=512)
def _told(text: str) -> tuple[str, dict[str, str]]:
    """A span's name and attributes: ours are texts with names in the place of values."""
    word = _WORD.search(_COMMENT.sub("", text[:_STATEMENT_CHARS]))
    operation = word[0].upper() if word else "STATEMENT"
    told = {"db.system.name": "postgresql", "db.operation.name": operation}
    if text:
        told["db.query.text"] = text[:_STATEMENT_CHARS]
    return f"postgresql {operation}", told


async def _lives(conn: Connection) -> bool:
    """Whether an idle connection still has a server.

    A server that goes away leaves its last words and an end of file in the socket; nothing else
    comes unasked. So a look at the socket spares the living a round trip.
    """
    try:
        poll = select.poll()
        poll.register(conn.fileno(), select.POLLIN)
        if poll.poll(0):
            await AsyncConnectionPool.check_connection(conn)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        return False  # and closed by now: the pool replaces it
    return True


class _translated:  # noqa: N801 - reads as a clause: with _translated()
    """Turn errors about the connection, rights and the schema into ours; others stay bugs."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, TooManyRequests):
            raise UnavailableError("too much is asked at once; try again later") from exc
        if isinstance(exc, psycopg.errors.InsufficientPrivilege):
            raise forbidden(exc, self._dsn) from exc
        if isinstance(exc, (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)):
            log.error("the database's schema is not ours: %s", exc.diag.message_primary)
            raise UnavailableError(
                "the database has no schema yet, or an older one; run aistack migrate"
            ) from exc
        if isinstance(exc, psycopg.errors.QueryCanceled):
            raise UnavailableError("the database took too long") from exc
        if isinstance(exc, psycopg.OperationalError):
            state = exc.sqlstate or ""
            if state.startswith(_BUGS):
                return  # asking again would not help
            if state and not state.startswith(_AWAY):
                # It answers, and what it says (no space, a deadlock) must be told somewhere.
                log.error("the database refuses: %s %s", state, exc.diag.message_primary)
                raise UnavailableError("the database cannot do this now") from exc
            raise UnavailableError("the database does not answer") from exc
        if isinstance(exc, psycopg.InterfaceError) and "closed" in str(exc):
            raise UnavailableError("the database does not answer") from exc
