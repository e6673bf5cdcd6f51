"""Real servers for the tests: one PostgreSQL and one Redis a session, a database of its own a test.

Async tests: ``pytestmark = pytest.mark.anyio``.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import anyio
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from aistack.embedded.postgres import EmbeddedPostgres
from aistack.settings.schema import Postgres, Qdrant, Settings

_TEMPLATE = "aistack_template"
_numbers = count(1)
_SERVERS = {"postgres_server", "redis_server"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Leave out of the coverage the tests that run again and again what others show.

    Python 3.11 calls the tracer for every line, which would cost them the most.
    """
    # Not imported: the package's build has no coverage.
    coverage = sys.modules.get("coverage")
    tracing = coverage.Coverage.current() if coverage else None
    if tracing is None or item.get_closest_marker("repeats") is None:
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # what its children go by
        tracing.stop()
        try:
            return (yield)
        finally:
            tracing.start()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks one of the session's servers, whichever way it gets there."""
    for item in items:
        if _SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("server")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """DSN of the session's server, as its superuser."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def template_database(postgres_server: str) -> str:
    """Name of a database with all migrations and no content."""
    # Inside: a fault in the migrations fails the tests that need them, not the collection.
    from aistack.migrations.runner import migrate

    _admin(postgres_server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    anyio.run(migrate, make_conninfo(postgres_server, dbname=_TEMPLATE))
    return _TEMPLATE


@pytest.fixture
def empty_dsn(postgres_server: str) -> Iterator[str]:
    """A database without any migration."""
    yield from _database(postgres_server, "template1")


@pytest.fixture
def dsn(postgres_server: str, template_database: str) -> Iterator[str]:
    """A migrated database of this test's own."""
    yield from _database(postgres_server, template_database)


@pytest.fixture(scope="module")
def module_dsn(postgres_server: str, template_database: str) -> Iterator[str]:
    """A migrated database of this file's own."""
    yield from _database(postgres_server, template_database)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """URL of the session's Redis."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail("redis-server is missing: apt-get install redis-server", pytrace=False)
    # Not pytest's folder: its name can be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="aistack-redis-"))
    path = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([program, *options], stdout=log, stderr=log)
    try:
        _await_socket(path, server, folder / "log")
        yield f"unix://{path}"
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder)


@pytest.fixture
def qdrant_path(tmp_path: Path) -> Path:
    """Folder of qdrant-client's local mode."""
    return tmp_path / "qdrant"


@pytest.fixture
def settings(dsn: str, qdrant_path: Path) -> Settings:
    """Settings for this test's database, and Qdrant's local mode or the server of QDRANT_URL."""
    if url := os.environ.get("QDRANT_URL"):
        qdrant = Qdrant(url=url, prefix=f"test-{secrets.token_hex(6)}")
    else:
        qdrant = Qdrant(url=None, path=str(qdrant_path))
    return Settings(postgres=Postgres(dsn=dsn, pool_min=0, pool_max=4), qdrant=qdrant)


def _database(server: str, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    made, of = sql.Identifier(name), sql.Identifier(template)
    _admin(server, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(made, of))
    try:
        yield make_conninfo(server, dbname=name)
    finally:
        # FORCE: a test that failed may have left connections.
        _admin(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(made))


def _admin(server: str, statement: sql.Composed) -> None:
    with psycopg.connect(make_conninfo(server, dbname="postgres"), autocommit=True) as conn:
        conn.execute(statement)


def _await_socket(path: Path, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket(socket.AF_UNIX) as client:
            if client.connect_ex(str(path)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"redis-server did not start: {log.read_text()}", pytrace=False)


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A folder as systemd's RuntimeDirectory."""
    # Not pytest's folder: its name can be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="aistack-run-"))
    yield folder
    shutil.rmtree(folder)
