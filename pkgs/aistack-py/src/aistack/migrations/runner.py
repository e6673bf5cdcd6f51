"""Applies the migration chain: in order, each once, under a lock, never a changed one."""

import hashlib
from importlib.resources import files
from typing import Any

import psycopg
from msgspec import Struct
from psycopg import AsyncConnection

from aistack.errors import ConflictError, UnavailableError

# Any constant will do; it only must not be used for anything else in this database.
_LOCK = 0x61697374
_HISTORY = """
create table if not exists schema_history (
    number     integer primary key,
    name       text not null,
    checksum   text not null,
    applied_at timestamptz not null default now()
)
"""


class Migration(Struct, frozen=True):
    """One file of the chain."""

    number: int
    name: str
    sql: str
    checksum: str


def chain() -> list[Migration]:
    """All migrations of this version, in order."""
    found = []
    for entry in files("aistack.migrations").iterdir():
        if entry.name.endswith(".sql"):
            text = entry.read_text("utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            found.append(Migration(int(entry.name[:4]), entry.name, text, digest))
    return sorted(found, key=lambda m: m.number)


async def migrate(dsn: str, *, dry_run: bool = False) -> list[str]:
    """Bring the database to this version; returns the names of what was (or would be) applied.

    Each migration commits with its history row: a run that is killed goes on where it was.

    Raises:
        ConflictError: the database is newer than this version, or an applied file was changed.
        UnavailableError: the database does not answer.
    """
    try:
        async with await AsyncConnection.connect(dsn, autocommit=True) as conn:
            await conn.execute("select pg_advisory_lock(%s)", (_LOCK,))
            return await _apply(conn, dry_run=dry_run)
    except psycopg.OperationalError as exc:
        raise UnavailableError("the database does not answer (postgres.dsn)") from exc


async def require_schema(conn: AsyncConnection[dict[str, Any]]) -> None:
    """Check that the database is at least at this version.

    Raises:
        UnavailableError: `aistack migrate` is due.
    """
    known = await (await conn.execute("select to_regclass('schema_history') as found")).fetchone()
    if not known or known["found"] is None:
        raise UnavailableError("the database has no schema yet; run aistack migrate")
    newest = await conn.execute("select coalesce(max(number), 0) as at from schema_history")
    if (await newest.fetchone() or {"at": 0})["at"] < chain()[-1].number:
        raise UnavailableError("the database's schema is an older one; run aistack migrate")


async def _apply(conn: AsyncConnection, *, dry_run: bool) -> list[str]:
    known = {m.number: m for m in chain()}
    applied: set[int] = set()
    cursor = await conn.execute("select to_regclass('schema_history') is not null")
    row = await cursor.fetchone()
    if row and row[0]:
        history = await conn.execute("select number, name, checksum from schema_history")
        for number, name, checksum in await history.fetchall():
            if number not in known:
                raise ConflictError(
                    f"the database has migration {name}, which this version does not know: "
                    "it is newer than this aistack; install the version that wrote it"
                )
            if known[number].checksum != checksum:
                raise ConflictError(f"migration {name} differs from the one that was applied")
            applied.add(number)
    todo = [m for m in known.values() if m.number not in applied]
    if not dry_run:
        await conn.execute(_HISTORY)
        for migration in todo:
            async with conn.transaction():
                await conn.execute(migration.sql.encode())
                await conn.execute(
                    "insert into schema_history (number, name, checksum) values (%s, %s, %s)",
                    (migration.number, migration.name, migration.checksum),
                )
    return [m.name for m in todo]
