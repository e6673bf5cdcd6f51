"""A host that is gone without a word: both sides of a connection miss it within a minute."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aistack.embedded import postgres as embedded
from aistack.settings.schema import Postgres as Options
from aistack.stores.postgres import Postgres, connection_string

pytestmark = pytest.mark.anyio


@pytest.fixture
def by_tcp(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """DSN of a server that is reached as one on another host is."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setitem(embedded._DEMO, "listen_addresses", "127.0.0.1")
    monkeypatch.setattr(embedded, "_PORT", port)
    folder = Path(tempfile.mkdtemp(prefix="aistack-pg-"))
    with embedded.EmbeddedPostgres(folder / "pg", durable=False) as dsn:
        yield make_conninfo(dsn, host="127.0.0.1")
    shutil.rmtree(folder, ignore_errors=True)


async def test_a_connection_with_a_lock_asks_from_both_ends_whether_the_other_lives(
    by_tcp: str,
) -> None:
    async with Postgres(Options(dsn=by_tcp)).dedicated() as conn:
        names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")
        found = [
            await (await conn.execute(f"select current_setting('tcp_{name}') as v")).fetchone()
            for name in names
        ]
        assert [row and row["v"] for row in found] == ["30", "10", "3", "60000"]
        with socket.socket(fileno=socket.dup(conn.fileno())) as ours:
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            asked = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            assert [
                ours.getsockopt(socket.IPPROTO_TCP, getattr(socket, option)) for option in asked
            ] == [30, 10, 3, 60_000]


def test_who_names_other_times_has_them() -> None:
    own = conninfo_to_dict(connection_string(Options(dsn="host=h dbname=d keepalives_idle=7")))
    assert (own["keepalives_idle"], own["keepalives_interval"]) == ("7", "10")
