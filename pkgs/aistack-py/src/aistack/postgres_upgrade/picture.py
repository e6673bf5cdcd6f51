"""What a whole cluster holds: what came out of an upgrade is judged by what went in."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from aistack.backup.model import TableState
from aistack.backup.moment import states
from aistack.errors import ConflictError
from aistack.postgres_server.cluster import Cluster
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.postgres_upgrade", "picture.sql")
_SHOWN = 5
# Of template0. By way of JSON: the columns differ by major version.
_ORIGIN = """
select json_build_object(
  'superuser', (select rolname from pg_roles where oid = 10),
  'encoding', pg_encoding_to_char(encoding), 'collate', datcollate, 'ctype', datctype,
  'provider', coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
  'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'))
from pg_database d where datname = 'template0'
"""


class Origin(Struct, frozen=True):
    """How a cluster was made: the next one is made alike."""

    superuser: str
    """Who made it: who makes the next one must have the same name."""
    encoding: str
    collate: str
    ctype: str
    provider: str
    """Of locales: ``c``: libc, ``i``: ICU, ``b``: PostgreSQL's own."""
    locale: str | None
    """Of ICU, or of PostgreSQL's own."""


class Database(Struct, frozen=True):
    """One database."""

    name: str
    tables: list[TableState]
    sequences: dict[str, int | None]


class Picture(Struct, frozen=True):
    """All that may be lost."""

    roles: list[str]
    """With a digest of their rights and passwords."""
    databases: list[Database]

    @property
    def tables(self) -> int:
        """How many there are."""
        return sum(len(one.tables) for one in self.databases)

    @property
    def rows(self) -> int:
        """How many there are in all tables."""
        return sum(table.rows for one in self.databases for table in one.tables)


def origin(cluster: Cluster, dsn: str) -> Origin:
    """How a cluster was made, as its own user, so that a server may be asked that runs for others.

    Raises:
        UnavailableError: the server does not answer.
    """
    said = cluster.run("psql", "-XtA", f"--dbname={dsn}", "-c", _ORIGIN)
    return msgspec.json.decode(said, type=Origin)


async def take(dsn: str) -> Picture:
    """Read everything once; the server must have no other users.

    Args:
        dsn: of any database, as a superuser.

    Raises:
        ConflictError: a database lets nobody in: what it holds could not be compared.
    """
    async with await _connect(dsn) as connection:
        roles = [row["role"] for row in await _rows(connection, "roles")]
        found = await _rows(connection, "databases")
    if shut := [row["name"] for row in found if not row["open"]]:
        raise ConflictError(
            f"the database {shut[0]} allows no connections: drop it, or"
            f" alter database {shut[0]} allow_connections true"
        )
    databases = []
    for name in [row["name"] for row in found]:
        async with await _connect(make_conninfo(dsn, dbname=name)) as connection:
            tables = await states(connection)
            sequences = {row["name"]: row["value"] for row in await _rows(connection, "sequences")}
        databases.append(Database(name, tables, sequences))
    return Picture(roles, databases)


async def left(dsn: str, databases: Sequence[str]) -> list[str]:
    """What PostgreSQL leaves to the administrator in a cluster that was upgraded, as commands."""
    found = []
    for name in databases:
        async with await _connect(make_conninfo(dsn, dbname=name)) as connection:
            found += [f"{name}: {row['command']}" for row in await _rows(connection, "left")]
    return found


def differences(before: Picture, after: Picture) -> list[str]:
    """What is not as it was, in words; empty: nothing."""
    changed = set(before.roles) ^ set(after.roles)
    found = [f"role {name}" for name in {role.rpartition(" ")[0] for role in changed}]
    old, new = ({one.name: one for one in picture.databases} for picture in (before, after))
    found += [f"database {name}" for name in old.keys() ^ new.keys()]
    for name in old.keys() & new.keys():
        tables, there = ({t.name: t for t in one[name].tables} for one in (old, new))
        for table in tables.keys() | there.keys():
            was, is_ = tables.get(table), there.get(table)
            if was != is_:
                rows = f"{was.rows if was else 'no'} rows before, {is_.rows if is_ else 'none'} now"
                found.append(f"table {name}.{table} ({rows})")
        if old[name].sequences != new[name].sequences:
            found.append(f"sequences of {name}")
    found.sort()
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return found[:_SHOWN] + more


async def _connect(dsn: str) -> AsyncConnection[dict[str, Any]]:
    return await AsyncConnection.connect(dsn, autocommit=True, row_factory=dict_row)


async def _rows(connection: AsyncConnection[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return await (await connection.execute(_QUERIES[name], {})).fetchall()
