"""What a database knows of itself since its first migration."""

from aistack.migrations.runner import require_schema
from aistack.stores.postgres import Postgres


async def cursor_key(postgres: Postgres) -> bytes:
    """The key that signs cursors, the same for all processes.

    Raises:
        UnavailableError: the database does not answer, or `aistack migrate` is due.
    """
    async with postgres.read() as conn:
        await require_schema(conn)
        found = await conn.execute("select value from instance where key = 'cursor-key'")
        row = await found.fetchone()
    return bytes((row or {})["value"])
