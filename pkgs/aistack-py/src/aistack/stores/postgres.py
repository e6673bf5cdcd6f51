"""The PostgreSQL pool: transactions, reads, notifications and error translation."""

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from aistack.errors import UnavailableError
from aistack.settings import schema
from aistack.settings.load import read_secret

Connection = AsyncConnection[DictRow]


def connection_string(settings: schema.Postgres) -> str:
    """The libpq string, with the password read from its file."""
    extra: dict[str, Any] = {"connect_timeout": max(2, int(settings.timeout_s))}
    if settings.password_file:
        extra["password"] = read_secret(settings.password_file, "postgres.password_file")
    return conninfo.make_conninfo(settings.dsn, application_name="aistack", **extra)


class Postgres:
    """A pool of connections; rows are dictionaries.

    The caller of `transaction` decides what is one unit; nothing below commits.
    """

    def __init__(self, settings: schema.Postgres) -> None:
        self._timeout_s = settings.timeout_s
        self.dsn = connection_string(settings)
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self.dsn,
            min_size=settings.pool_min,
            max_size=settings.pool_max,
            timeout=settings.timeout_s,
            open=False,
            kwargs={"row_factory": dict_row, "autocommit": True},
        )

    async def open(self) -> None:
        """Start the pool without waiting for the server: it may come later."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Give all connections back."""
        await self._pool.close()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """A connection in autocommit, for single statements."""
        with _translated():
            async with self._connection() as conn:
                yield conn

    async def fetch(self, query: LiteralString, values: dict[str, Any]) -> list[DictRow]:
        """All rows of one statement that only reads.

        Asked once more where the connection breaks on the way: a restart of the server is then a
        wait for its return (at most ``postgres.timeout_s``), not an error.
        """
        conn: Connection | None = None
        with _translated():
            try:
                async with self._connection() as conn:
                    return await (await conn.execute(query, values)).fetchall()
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if conn is None or not conn.broken:
                    raise
            async with self._connection() as conn:
                return await (await conn.execute(query, values)).fetchall()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside one transaction; it commits when the block ends without error."""
        with _translated():
            async with self._connection() as conn, conn.transaction():
                yield conn

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection that did not die while it lay idle, as far as this side can know.

        Not by the pool's own ``check``: it waits a second after the first dead connection, two
        after the next, and so on; a pool that a restart of the server cut off never came back in
        time.
        """
        while True:
            async with self._pool.connection() as conn:
                if await _lives(conn):
                    yield conn
                    return

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[Connection]:
        """A connection outside the pool, for LISTEN and session locks."""
        with _translated():
            conn = await AsyncConnection.connect(self.dsn, autocommit=True, row_factory=dict_row)
            async with conn:
                yield conn

    async def ping(self) -> None:
        """Raise `UnavailableError` unless the server answers."""
        async with self.read() as conn:
            await conn.execute("select 1")


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
    """Turn the driver's errors about the connection into ours; leave all others as bugs."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, PoolTimeout | psycopg.OperationalError | psycopg.InterfaceError):
            raise UnavailableError("the database does not answer") from exc
