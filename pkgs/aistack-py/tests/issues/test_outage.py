"""PostgreSQL away while events come in, from two hosts: none is lost, none counts twice."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from aistack.embedded.postgres import EmbeddedPostgres
from aistack.errors import UnavailableError
from aistack.issues.model import Issue, IssueFilter
from aistack.issues.spool import Spool
from aistack.issues.tracker import Tracker
from aistack.kit.signing import Signer
from aistack.migrations.runner import migrate
from aistack.settings.schema import Issues, Postgres, Qdrant, Settings
from aistack.stores import postgres as stores

AWAY_S = float(os.environ.get("AISTACK_ISSUE_OUTAGE_S", "2"))
"""60 for the whole minute."""
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    # Cut off within a loop that has such work, Python 3.11 may never end.
    pytest.mark.timeout(240 + 3 * AWAY_S),
]
RATE = 1000
"""Events a second, of all writers together."""

WRITER = """
import sys, time
from pathlib import Path
from aistack.errors import UnavailableError
from aistack.issues.model import Event
from aistack.issues.recorder import Recorder
from aistack.issues.redact import Redactor
from aistack.issues.spool import Spool
folder, host, rate, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
recorder = Recorder(Redactor(), Spool(Path(folder), 2**30))
begun, number, most = time.monotonic(), 0, int(rate * seconds)
words = ["refused", "reset", "timed out", "too large", "not found"]
while number < most:
    due = min(most, int((time.monotonic() - begun) * rate)) - number
    if due > 0:
        recorder.spool([recorder.prepare(Event(
            message=f"connection {words[(number + n) % 5]} after {n} ms", source="command",
            component="probe", host=host, context={"n": number + n})) for n in range(due)])
        number += due
    time.sleep(0.005)
"""


def start(folder: Path, host: str, seconds: float) -> "subprocess.Popen[bytes]":
    options = [str(folder), host, str(RATE / 4), str(seconds)]
    return subprocess.Popen([sys.executable, "-c", WRITER, *options])


async def stored(tracker: Tracker, least: int, patience_s: float) -> list[Issue]:
    """The issues, when they have so many events; or as they are when patience ends."""
    found: list[Issue] = []
    deadline = time.monotonic() + patience_s
    while sum(issue.count for issue in found) < least and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        # A pool looks for the server every second or two.
        with suppress(UnavailableError):
            found = (await tracker.issues.list(IssueFilter())).issues
    return found


async def test_an_outage_under_load_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path
    server = EmbeddedPostgres(folder / "postgresql", durable=False)
    dsn = server.__enter__()
    up = True
    pools: list[stores.Postgres] = []
    trackers: list[Tracker] = []
    writers: list[subprocess.Popen[bytes]] = []
    try:
        await migrate(dsn)
        for host in ("one", "two"):
            own = Settings(
                postgres=Postgres(dsn=dsn, pool_min=0, pool_max=2, timeout_s=2),
                qdrant=Qdrant(url="http://127.0.0.1:1"),
                issues=Issues(spool=str(folder / host), spool_bytes=2**30),
            )
            pool = stores.Postgres(own.postgres)
            await pool.open()
            pools.append(pool)
            trackers.append(Tracker(own, pool, Signer(b"s")))
        seconds = AWAY_S + 4
        hosts = ("one", "two", "one", "two")
        writers = [start(folder / host, host, seconds) for host in hosts]
        written = 4 * int(RATE / 4 * seconds)
        async with trackers[0].keeping(), trackers[1].keeping():
            await stored(trackers[0], 1, 60)
            await asyncio.to_thread(server.__exit__, None, None, None)
            up = False
            begun = time.monotonic()
            await asyncio.sleep(AWAY_S)
            assert all(Spool(folder / host, 2**30).depth().bytes for host in ("one", "two"))
            server = EmbeddedPostgres(folder / "postgresql", durable=False)
            assert await asyncio.to_thread(server.__enter__) == dsn
            up = True
            away = time.monotonic() - begun
            for writer in writers:
                assert await asyncio.to_thread(writer.wait) == 0
            found = await stored(trackers[0], written, 60 + AWAY_S)
        assert sum(issue.count for issue in found) == written
        assert away >= AWAY_S
        assert len(found) == 5, "as many as there are words"
    finally:
        for writer in writers:
            writer.kill()
            await asyncio.to_thread(writer.wait)
        for pool in pools:
            await pool.close()
        if up:
            server.__exit__(None, None, None)
