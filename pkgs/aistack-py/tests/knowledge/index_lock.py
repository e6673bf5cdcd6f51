"""How the indexer loses its lock: as by a restart of PostgreSQL, with the connection."""

from aistack.stores.postgres import Postgres

LOCK = 0x696E6478


async def lose_lock(postgres: Postgres) -> None:
    """End the server's side of the connection that holds the lock, and wait for its end."""
    async with postgres.read() as conn:
        ended = await conn.execute(
            "select pg_terminate_backend(pid, 10000) as ended from pg_locks"
            " where locktype = 'advisory' and objid = %(lock)s"
            " and database = (select oid from pg_database where datname = current_database())",
            {"lock": LOCK},
        )
        assert [row["ended"] for row in await ended.fetchall()] == [True]
