"""A point in the WAL, and what every table held there: a restore is judged by it."""

import asyncio
import logging
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from aistack.backup.model import Moment, TableState
from aistack.stores.postgres import Connection, Postgres
from aistack.stores.sqlfile import load_queries

log = logging.getLogger(__name__)

_QUERIES = load_queries("aistack.backup", "backup.sql")
_LOCK_S = 2
"""Longest wait for writers to end: as long, new ones wait behind us."""
_TRIES = 10

# Rows in any order, so no sort; sums, so that equal rows count. Text forms depend on settings.
_DIGEST = """
select count(*) as rows,
       coalesce(sum(('x' || encode(substr(sha256(convert_to(t::text, 'UTF8')), 1, 8), 'hex'))
                    ::bit(64)::bigint::numeric), 0)::text as digest
from {} t
"""
_TEXT_FORMS = (
    "set datestyle = 'ISO, YMD'; set timezone = 'UTC'; set intervalstyle = 'iso_8601';"
    " set bytea_output = 'hex'; set extra_float_digits = 1; set statement_timeout = 0;"
    " set idle_in_transaction_session_timeout = 0"
)


async def mark(postgres: Postgres, name: str) -> tuple[Moment, str]:
    """Make a restore point, and read what the database held there.

    For an exact answer all tables are locked against writing for the moment in which the restore
    point and our view of the database are made; reading goes on behind it.

    Args:
        postgres: a superuser's.
        name: of the restore point.

    Returns:
        The moment, and the WAL segment that has to be safe before it can be reached.
    """
    async with postgres.dedicated() as view, postgres.dedicated() as writer:
        await view.execute(_TEXT_FORMS)
        tables = [row["name"] for row in await _rows(view, "tables")]
        exact, lsn, at = False, "", None
        for _ in range(_TRIES):
            try:
                lsn, at = await _still(view, writer, tables, name)
                exact = True
                break
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                await view.rollback()
                await asyncio.sleep(_LOCK_S)
            except psycopg.errors.UndefinedTable:  # somebody dropped one since
                await view.rollback()
                tables = [row["name"] for row in await _rows(view, "tables")]
        if at is None:
            log.warning("a write takes so long that the backup's counts are only near its moment")
            lsn, at = await _point(writer, name)
            await view.execute("begin isolation level repeatable read read only")
        segment = (await _rows(writer, "switch_wal"))[0]["segment"]
        states = [await _state(view, table) for table in tables]
        await view.rollback()
    return Moment(name, lsn, at, exact, states), segment


async def states(connection: Connection) -> list[TableState]:
    """What every table of a database holds now."""
    await connection.execute(_TEXT_FORMS)
    tables = [row["name"] for row in await _rows(connection, "tables")]
    return [await _state(connection, table) for table in tables]


async def counts(connection: Connection) -> dict[str, int]:
    """How many rows every table of a database has now."""
    found = {}
    for table in [row["name"] for row in await _rows(connection, "tables")]:
        query = sql.SQL("select count(*) as rows from {}").format(_ident(table))
        (row,) = await (await connection.execute(query)).fetchall()
        found[table] = row["rows"]
    return found


async def _still(
    view: Connection, writer: Connection, tables: list[str], name: str
) -> tuple[str, datetime]:
    """The restore point and the view of one moment in which nobody writes.

    Raises:
        psycopg.errors.LockNotAvailable: somebody writes for longer than we wait.
        psycopg.errors.DeadlockDetected: somebody has what we want, and wants what we have.
    """
    async with writer.transaction():
        # Whoever sees a deadlock first is the one who loses: us, never a writer.
        await writer.execute(
            f"set local lock_timeout = '{_LOCK_S}s'; set local deadlock_timeout = '50ms'"
        )
        for table in tables:
            await writer.execute(sql.SQL("lock table {} in share mode").format(_ident(table)))
        await view.execute("begin isolation level repeatable read read only")
        await view.execute("select 1")  # the view is of the first statement's time
        return await _point(writer, name)


async def _point(writer: Connection, name: str) -> tuple[str, datetime]:
    (row,) = await (await writer.execute(_QUERIES["restore_point"], {"name": name})).fetchall()
    return row["lsn"], row["at"]


async def _state(connection: Connection, table: str) -> TableState:
    query = sql.SQL(_DIGEST).format(_ident(table))
    (row,) = await (await connection.execute(query)).fetchall()
    return TableState(table, row["rows"], format(int(row["digest"]) % 2**128, "032x"))


async def _rows(connection: Connection, name: str) -> list[dict[str, Any]]:
    return await (await connection.execute(_QUERIES[name], {})).fetchall()


def _ident(qualified: str) -> sql.Composable:
    """A name as format('%I.%I') wrote it: quoted already."""
    return sql.SQL(qualified)  # from the catalogue, quoted there
