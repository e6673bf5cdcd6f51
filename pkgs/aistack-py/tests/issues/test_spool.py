"""The spool: order, many writers, torn lines, a full disk, kills."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from makings import event

from aistack.errors import ConfigError, UnavailableError
from aistack.issues.drain import drain
from aistack.issues.model import IssueFilter
from aistack.issues.spool import Spool
from aistack.issues.store import Issues

MIB = 1024 * 1024


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", MIB)


def messages(spool: Spool, most: int = 1000) -> list[str]:
    """What a reader finds, segment by segment."""
    found = []
    with spool.draining() as reader:
        assert reader is not None
        while (segment := reader.segment()) is not None:
            offset = 0
            while (batch := reader.batch(segment, offset, most)).events:
                found += [e.message for e in batch.events]
                offset = batch.end
            reader.done(segment)
    return found


def test_what_goes_in_comes_out_in_order(spool: Spool) -> None:
    for n in range(50):
        spool.append([event(f"{n}.{m}") for m in range(3)])
    assert spool.depth().bytes > 0
    assert messages(spool, 7) == [f"{n}.{m}" for n in range(50) for m in range(3)]
    assert spool.depth() == (0, pytest.approx(0, abs=1))
    assert messages(spool) == []


def test_a_torn_line_costs_itself_alone(spool: Spool, tmp_path: Path) -> None:
    spool.append([event("before")])
    current = tmp_path / "spool/current"
    whole = current.read_bytes()
    with current.open("ab") as file:
        file.write(whole[: len(whole) // 2])  # killed half-way
    spool.append([event("after")])
    with current.open("ab") as file:
        file.write(b"\nnot ours\n\n00000000 {}\n")
    assert messages(spool) == ["before", "after"]


def test_one_reader_at_a_time(spool: Spool) -> None:
    spool.append([event()])
    with spool.draining() as one, spool.draining() as other:
        assert one is not None
        assert other is None


def test_a_segment_waits_for_who_writes_it(spool: Spool) -> None:
    spool.append([event("first")])
    with spool.draining() as reader:
        assert reader is not None
        with spool._writing():
            assert reader.segment() is None  # renamed, but not settled
        spool.append([event("second")])
        segment = reader.segment()
        assert segment is not None
        assert [e.message for e in reader.batch(segment, 0, 10).events] == ["first"]
    assert messages(spool) == ["first", "second"]


def test_a_full_spool_refuses(tmp_path: Path) -> None:
    small = Spool(tmp_path / "s", 2000)
    small.append([event("x" * 1000)])
    with pytest.raises(UnavailableError, match=r"issues\.spool_bytes"):
        small.append([event("y" * 1000)])
    assert messages(small) == ["x" * 1000]
    small.append([event("y" * 1000)])


def test_a_full_disk_is_told(spool: Spool) -> None:
    spool.append([event("before")])
    (spool._folder / "current").unlink()
    (spool._folder / "current").symlink_to("/dev/full")
    with pytest.raises(UnavailableError, match="No space left"):
        spool.append([event()])


def test_a_folder_that_cannot_be_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"issues\.spool"):
        Spool(tmp_path / "file/below", MIB).append([event()])


WRITER = """
import sys
from pathlib import Path
from aistack.issues.model import Event
from aistack.issues.spool import Spool
spool = Spool(Path(sys.argv[1]), 2**30)
for n in range(int(sys.argv[3])):
    spool.append([Event(message=f"{sys.argv[2]} {n}", source="command", component=sys.argv[2],
                        fingerprint="f")])
    print(n, flush=True)
"""


def start(folder: Path, name: str, number: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), name, str(number)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_writers_that_are_killed_lose_nothing_that_they_were_told_is_safe(tmp_path: Path) -> None:
    writers = {name: start(tmp_path / "spool", name, 10**6) for name in "abc"}
    spool = Spool(tmp_path / "spool", 2**30)
    found: list[str] = []
    deadline = time.monotonic() + 60
    while len(found) < 300 and time.monotonic() < deadline:
        found += messages(spool)
        time.sleep(0.02)
    told = {}
    for name, writer in writers.items():
        writer.kill()
        told[name] = writer.communicate()[0].splitlines()
    found += messages(spool)
    assert len(found) == len(set(found))
    for name, lines in told.items():
        own = [int(m.split()[1]) for m in found if m.startswith(name)]
        assert own == list(range(len(own))), "in order, none missing"
        # The last one told may be cut off; one more may be written and not told.
        assert len(own) >= len([line for line in lines if line])


DRAINER = """
import asyncio, sys
from pathlib import Path
from aistack.issues import drain
from aistack.issues.spool import Spool
from aistack.issues.store import Issues
from aistack.kit.signing import Signer
from aistack.settings import schema
from aistack.stores.postgres import Postgres
drain.BATCH = 20
async def main():
    postgres = Postgres(schema.Postgres(dsn=sys.argv[2], pool_min=1, pool_max=2))
    await postgres.open()
    issues = Issues(postgres, Signer(b"s"), schema.Issues())
    print("up", flush=True)
    await drain.drain(Spool(Path(sys.argv[1]), 2**30), issues)
    await postgres.close()
asyncio.run(main())
"""
KILLS = int(os.environ.get("AISTACK_ISSUE_KILLS", "4"))


@pytest.mark.anyio
@pytest.mark.slow
async def test_a_reader_that_is_killed_counts_nothing_twice(
    tmp_path: Path, dsn: str, issues: Issues
) -> None:
    spool = Spool(tmp_path / "spool", 2**30)
    for n in range(40):
        spool.append([event(f"e{n}", fingerprint=f"{n % 7}") for _ in range(50)])
    command = [sys.executable, "-c", DRAINER, str(tmp_path / "spool"), dsn]
    stored = 0
    for kill in range(KILLS):
        reader = await asyncio.to_thread(
            subprocess.Popen, command, stdout=subprocess.PIPE, text=True
        )
        assert reader.stdout
        await asyncio.to_thread(reader.stdout.readline)
        await asyncio.sleep(0.02 + 0.03 * kill)
        reader.send_signal(signal.SIGKILL)
        await asyncio.to_thread(reader.communicate)
        found = (await issues.list(IssueFilter())).issues
        before, stored = stored, sum(i.count for i in found)
        assert stored >= before
    assert await drain(spool, issues) is not None
    found = (await issues.list(IssueFilter())).issues
    assert sum(i.count for i in found) == 2000
    assert spool.depth().bytes == 0
