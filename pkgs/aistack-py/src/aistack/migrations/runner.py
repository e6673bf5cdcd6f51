"""Applies the migration chain: in order, each once, under a lock, never a changed one."""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from aistack.errors import ConfigError, ConflictError, UnavailableError
from aistack.migrations.chain import Migration, chain
from aistack.stores.postgres import forbidden

# Any constant will do; it only must not be used for anything else in this database.
_LOCK = 0x61697374
_HISTORY = """
create table if not exists schema_history (
    number      integer primary key,
    name        text not null,
    checksum    text not null,
    applied_at  timestamptz not null default now(),
    oldest_code integer
)
"""
# What was made before there was this column gets it. Asked first: the statement itself would wait
# for everyone who reads the table.
_HAS_OLDEST = """
select true from pg_attribute
where attrelid = 'schema_history'::regclass and attname = 'oldest_code'
"""
_ADD_OLDEST = "alter table schema_history add column oldest_code integer"
# By way of JSON: a database of before has no such column.
_APPLIED = """
select number, name, checksum, (to_jsonb(h) ->> 'oldest_code')::integer as oldest
from schema_history h order by number
"""
_RECORD = """
insert into schema_history (number, name, checksum, oldest_code)
values (%(number)s, %(name)s, %(checksum)s, %(oldest)s)
"""
_LOCK_WAIT_S = 2
"""Longest wait for a table: as long, all who want it afterwards wait behind us."""
_PAUSE_S = 1
_TRIES = 30


class _Applied(Struct, frozen=True):
    """A migration as a database remembers it; ``oldest`` as in `Migration`."""

    number: int
    name: str
    checksum: str
    oldest: int | None


async def migrate(
    dsn: str, *, dry_run: bool = False, migrations: Sequence[Migration] | None = None
) -> list[str]:
    """Bring the database to this version; returns the names of what was (or would be) applied.

    Each migration commits with its history row: a run that is killed goes on where it was. A
    database of a newer version is left as it is, where that version says that this one can use it.

    Args:
        dsn: a libpq connection string.
        dry_run: only name what is due.
        migrations: another chain than this version's.

    Raises:
        ConfigError: the database is of a newer version, and this one cannot use it; or the role
            may not change the schema.
        ConflictError: an applied file was changed, or the chain is another one.
        UnavailableError: the database does not answer, has no room, or a table is in use for too
            long.
    """
    known = chain() if migrations is None else migrations
    try:
        async with await AsyncConnection.connect(dsn, autocommit=True) as conn:
            await conn.execute("select pg_advisory_lock(%s)", (_LOCK,))
            return await _bring(conn, known, dry_run=dry_run)
    except psycopg.errors.InsufficientPrivilege as exc:
        raise forbidden(exc, dsn) from exc
    except psycopg.OperationalError as exc:
        if said := exc.diag.message_primary:
            raise UnavailableError(f"the database cannot be migrated now: {said}") from exc
        raise UnavailableError("the database does not answer (postgres.dsn)") from exc


async def require_schema(
    conn: AsyncConnection[Any], migrations: Sequence[Migration] | None = None
) -> None:
    """Check that the database is at this version, or at a newer one that this one can use.

    Raises:
        ConfigError: the database is of a newer version, and this one cannot use it.
        UnavailableError: `aistack migrate` is due.
    """
    known = chain() if migrations is None else migrations
    applied = await _applied(conn)
    if applied is None:
        raise UnavailableError("the database has no schema yet; run aistack migrate")
    if max((one.number for one in applied), default=0) < known[-1].number:
        raise UnavailableError("the database's schema is an older one; run aistack migrate")
    _check_usable(applied, known)


async def _bring(conn: AsyncConnection, known: Sequence[Migration], *, dry_run: bool) -> list[str]:
    applied = await _applied(conn) or []
    _check_same(applied, known)
    _check_usable(applied, known)
    done = {one.number for one in applied}
    todo = [one for one in known if one.number not in done]
    if not dry_run:
        await conn.execute(_HISTORY)
        if not await (await conn.execute(_HAS_OLDEST)).fetchall():
            await conn.execute(_ADD_OLDEST)
        for migration in todo:
            await _apply(conn, migration)
    return [one.name for one in todo]


async def _apply(conn: AsyncConnection, migration: Migration) -> None:
    """One migration, without holding up for long those who work on its tables meanwhile."""
    values = {
        "number": migration.number,
        "name": migration.name,
        "checksum": migration.checksum,
        "oldest": migration.oldest,
    }
    for _ in range(_TRIES):
        try:
            async with conn.transaction():
                await conn.execute(f"set local lock_timeout = '{_LOCK_WAIT_S}s'")
                await conn.execute(migration.sql.encode())
                await conn.execute(_RECORD, values)
        except psycopg.errors.LockNotAvailable:
            await asyncio.sleep(_PAUSE_S)
        else:
            return
    raise UnavailableError(
        f"migration {migration.name} waits for a table that is in use all the time: run aistack"
        " migrate again"
    )


async def _applied(conn: AsyncConnection[Any]) -> list[_Applied] | None:
    """What was applied, in order; None: not even the history is there."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("select to_regclass('schema_history') is not null")
        if not await cursor.fetchone():
            return None
    async with conn.cursor(row_factory=class_row(_Applied)) as cursor:
        await cursor.execute(_APPLIED)
        return await cursor.fetchall()


def _check_same(applied: Sequence[_Applied], known: Sequence[Migration]) -> None:
    ours = {one.number: one for one in known}
    newest = known[-1].number
    for one in applied:
        own = ours.get(one.number)
        if own is None and one.number < newest:
            raise ConflictError(
                f"the database has migration {one.name}, which is not of this chain: it is"
                " another program's, or another branch's"
            )
        if own is not None and own.checksum != one.checksum:
            raise ConflictError(f"migration {one.name} differs from the one that was applied")
    have = {one.number for one in applied}
    late = [
        one.name for one in known if one.number not in have and one.number < max(have, default=0)
    ]
    if late:
        raise ConflictError(f"the database has migrations after {late[0]}, but not that one")


def _check_usable(applied: Sequence[_Applied], known: Sequence[Migration]) -> None:
    """A newer database says itself whose code can use it: this code was written before it."""
    newest = known[-1].number
    needed = max((one.oldest or 0 for one in applied), default=0)
    if needed > newest:
        raise ConfigError(
            f"the database is of a newer aistack ({applied[-1].name}) and no longer usable by one"
            f" whose schema ends before {needed:04}; this one's ends at {newest:04}: switch to the"
            " newer generation again, or restore the database as it was before it"
            " (aistack restore --to-time)"
        )
