"""A whole AIDB with something to show, in this process: for a browser."""

from __future__ import annotations

import asyncio
import math
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn
from psycopg.types.json import Jsonb

from aistack.api.app import App, create_app
from aistack.api.console.live import Streams
from aistack.api.console.traffic import HOUR_S, PERIOD_S, Sample, Traffic
from aistack.cli.serve import Listener, uvicorn_options
from aistack.embedded.postgres import EmbeddedPostgres
from aistack.issues.model import Event, Frame
from aistack.migrations.runner import migrate
from aistack.settings.load import parse
from aistack.settings.schema import Settings
from aistack.wiring import Stack, open_stack

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, math.inf)
HOSTILE = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>"


@dataclass
class Stage:
    """What is served, where, and how to change it from outside of its loop."""

    url: str
    key: str
    stack: Stack
    app: App
    loop: asyncio.AbstractEventLoop

    def do(self, work: Any) -> Any:
        """Run a coroutine in the loop of the service, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def end_streams(self) -> None:
        """As a service does that stops; the next one is there at once."""
        assert self.app.console is not None
        streams, self.app.console.streams = self.app.console.streams, Streams()
        self.loop.call_soon_threadsafe(streams.end)

    def report(self, message: str, **more: Any) -> None:
        """Make an event of an issue."""
        event = Event(message=message, source="http", **more)
        self.do(self.stack.tracker.issues.ingest([event]))


def settings_for(dsn: str, qdrant: str) -> Settings:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    repository = {"kind": "directory", "path": "/srv/backups"}
    return parse(
        {
            "aidb": {"port": port},
            "postgres": {"dsn": dsn, "pool_min": 0},
            "qdrant": {"path": qdrant},
            "rate_limits": {"per_minute": 100_000, "per_hour": 1_000_000},
            "backup": {
                "key_file": "/dev/null", "data_dir": "/nowhere",
                "repositories": {"disk": repository, "vault": repository | {"path": "/srv/vault"}},
            },
            "health": {"disk_free": 0.0001, "interval_s": 1.0, "timeout_s": 0.9},
            "host": {"services": {"aidb": f"http://127.0.0.1:{port}"}},
        }
    )  # fmt: skip


@contextmanager
def whole_stage(folder: Path) -> Iterator[Stage]:
    """Everything, from the database on, below a folder."""
    with EmbeddedPostgres(folder / "postgresql", durable=False) as dsn:
        asyncio.run(migrate(dsn))
        with staged(settings_for(dsn, str(folder / "qdrant"))) as stage:
            yield stage


@contextmanager
def staged(settings: Settings) -> Iterator[Stage]:
    """Serve in a thread until the block ends."""
    ready = threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        async with open_stack(settings, index=True) as stack:
            await fill(stack)
            key = await stack.keys.create(name="operator", scopes=["admin"])
            app = create_app(stack)
            assert app.console is not None
            act(app.console.state.traffic)
            options = uvicorn_options(settings) | {"loop": "none"}
            server = Listener(uvicorn.Config(app, **options))
            loop = asyncio.get_running_loop()
            url = f"http://127.0.0.1:{settings.aidb.port}"
            found.update(stage=Stage(url, key.key, stack, app, loop), server=server)
            task = asyncio.create_task(server.serve())
            while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event
                await asyncio.sleep(0.01)
            while stack.health.ready() != "ok" and not task.done():  # noqa: ASYNC110 - nor has it
                await asyncio.sleep(0.05)
            ready.set()
            await task

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="stage")
    thread.start()
    try:
        assert ready.wait(60)
        yield found["stage"]
    finally:
        if "server" in found:
            found["server"].should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "a stream holds up the stop"


async def fill(stack: Stack) -> None:
    """Issues, runs, drills, keys and jobs, as a host has them after some days."""
    await _issues(stack)
    now = datetime.now(UTC)
    await stack.keys.create(name="agents", scopes=["read"], per_minute=600, per_hour=10_000)
    await stack.keys.create(name="importer", scopes=["write"], collections=["nixos_docs"])
    old = await stack.keys.create(name="old-laptop", scopes=["read"])
    await stack.keys.revoke(old.info.id)
    async with stack.postgres.transaction() as conn:
        for day in range(6, 0, -1):
            at = now - timedelta(days=day, hours=now.hour - 2)
            await conn.execute(
                "insert into gc_runs (kind, started_at, finished_at, result, live_before,"
                " live_after, report) values ('run', %s, %s, %s, %s, %s, %s)",
                (
                    at, at + timedelta(seconds=4 + day), "partial" if day == 4 else "ok",
                    8600 - day * 90, 8590 - day * 90, Jsonb({}),
                ),
            )  # fmt: skip
            await conn.execute(
                "insert into backup_runs (id, type, started_at, finished_at, state, report)"
                " values (%s, %s, %s, %s, %s, %s)",
                (
                    f"{at:%Y%m%dT%H%M%SZ}-{day}a{day}c", "full" if day == 6 else "diff", at,
                    at + timedelta(seconds=95 + 7 * day), "partial" if day == 3 else "ok",
                    Jsonb({}),
                ),
            )  # fmt: skip
            for job, seconds in (("backup", 95), ("gc", 5), ("tls_renew", 1)):
                failed = job == "tls_renew" and day == 3
                detail = {"error": "the CA does not answer"} if failed else {}
                await conn.execute(
                    "insert into job_runs (job, started_at, finished_at, outcome, detail)"
                    " values (%s, %s, %s, %s, %s)",
                    (
                        job, at, at + timedelta(seconds=seconds), "failed" if failed else "ok",
                        Jsonb(detail),
                    ),
                )  # fmt: skip
        run = await (await conn.execute("select max(id) as id from gc_runs")).fetchone() or {
            "id": 1
        }
        for _ in range(12):
            await conn.execute(
                "insert into gc_deletions (run, subject, reason, evidence) values"
                " (%s, gen_random_uuid(), 'low_value', '{}')",
                (run["id"],),
            )
        last = now - timedelta(hours=5)
        for place in ("disk", "vault"):
            for part, size, seconds in (
                ("postgresql", 412_000_000, 61.0), ("index", 96_000_000, 22.5),
                ("logical", 58_000_000, 9.1),
            ):  # fmt: skip
                await conn.execute(
                    "insert into backup_parts values (%s, %s, %s, 'ok', %s, %s, %s)",
                    (place, part, last, size, seconds, last),
                )
            await conn.execute(
                "insert into backup_repositories values (%s, %s, %s, %s, true)",
                (place, 312 * 2**30, last, now - timedelta(days=2)),
            )
        await conn.execute(
            "insert into backup_drills (repository, run, started_at, finished_at, ok, rto_s, rpo_s,"
            " report) values ('vault', 'x', %s, %s, true, 148, 21, '{}')",
            (now - timedelta(days=2), now - timedelta(days=2) + timedelta(minutes=4)),
        )


async def _issues(stack: Stack) -> None:
    now = datetime.now(UTC)

    def event(message: str, hours: float, **more: Any) -> Event:
        at = now - timedelta(hours=hours)
        return Event(message=message, source="exception", at=at, host="atlas", **more)

    frames = (Frame("aistack.knowledge.indexer", "run"), Frame("aistack.stores.qdrant", "upsert"))
    trace = (
        "Traceback (most recent call last):\n"
        '  File "aistack/knowledge/indexer.py", line 128, in run\n'
        "    await self._round()\n"
        '  File "aistack/stores/qdrant.py", line 77, in upsert\n'
        "    raise UnavailableError(told)\n"
        "aistack.errors.UnavailableError: the index does not answer\n"
    )
    events = [
        event("the index does not answer", 30 - n, kind="UnavailableError", component="indexer",
              severity="high", category="reliability", frames=frames, stack=trace,
              context={"collection": "nixos_docs", "points": 512}, request_id="5f1c0d2e")
        for n in range(24)
    ] + [
        event("aistack-tls-renew.service failed: exit code 1", 70, kind="unit", component="tls",
              severity="medium", category="deployment"),
        event("no space left on /var/lib/postgresql", 3, kind="alert", component="postgresql",
              severity="critical", category="reliability"),
        event("a document of the project docs has no text layer", 9, component="ingest",
              severity="low", category="validation"),
        event("the embedding endpoint answers slowly: 4.1 s", 1.2, component="embeddings",
              severity="medium", category="performance"),
    ]  # fmt: skip
    await stack.tracker.issues.ingest(events)


def act(traffic: Traffic) -> None:
    """A working hour, which goes on: a wave, a burst of refusals and some failures."""
    chance = random.Random(7)  # noqa: S311
    steps = int(HOUR_S / PERIOD_S)
    begins = time.time() - HOUR_S
    answered = refused = failed = 0.0
    counts = [0.0] * len(BUCKETS)
    numbers = count()

    def sample() -> Sample:
        nonlocal answered, refused, failed
        step = next(numbers)
        wave = 14 + 9 * math.sin(step / 31) + chance.random() * 5
        spread = 0.011 * (1 + 0.5 * math.sin(step / 17) + (1.6 if 150 < step < 172 else 0))
        requests = wave * PERIOD_S
        answered += requests
        refused += (5.0 if 60 < step < 78 else 0.3 * chance.random()) * PERIOD_S
        failed += (1.2 if 150 < step < 162 else 0.0) * PERIOD_S
        for place, bound in enumerate(BUCKETS):
            counts[place] += requests * (1 - math.exp(-bound / spread))
        buckets = tuple(zip(BUCKETS, counts, strict=True))
        return Sample(begins + step * PERIOD_S, answered, refused, failed, buckets)

    traffic.samples.extend(sample() for _ in range(steps + 1))
    traffic.sample = sample  # type: ignore[method-assign]
