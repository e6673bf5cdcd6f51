"""What benchmarks share: texts to ask for, `aistack serve` as a process, and who asks it."""

import asyncio
import functools
import json
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aistack.access.model import LOCAL_OPERATOR
from aistack.knowledge.intake import find_files, import_files
from aistack.migrations.runner import migrate
from aistack.settings.load import load
from aistack.wiring import Stack, open_stack

COLLECTION = "nixos_docs"
QUESTIONS = 4000
TEXTS = {".md", ".html", ".rst", ".txt"}
FILE_BYTES = 256 * 1024
START_S = 60
Ask = Callable[[str], Awaitable[None]]


async def prepare(config: Path, documents: Path, most: int) -> dict[str, Any]:
    """Fill a collection with so many files at most; returns what `one_round` needs of it."""
    settings = load(config)
    await migrate(settings.postgres.dsn)
    async with open_stack(settings, index=False) as stack:
        files = [
            (path, name)
            for path, name in find_files([documents])
            if path.suffix in TEXTS and path.stat().st_size <= FILE_BYTES
        ]
        random.Random(1).shuffle(files)  # noqa: S311 - repeatable, not secret
        await import_files(
            stack.documents,
            LOCAL_OPERATOR,
            files[:most],
            collection=COLLECTION,
            project="benchmark",
            max_bytes=FILE_BYTES,
            progress=lambda _: None,
        )
        await stack.indexer.drain()
        key = await stack.keys.create(name="benchmark", scopes=["read"])
        return {
            "key": key.key,
            "passages": (await stack.collections.get(LOCAL_OPERATOR, COLLECTION)).chunks,
            "questions": await questions(stack),
        }


async def questions(stack: Stack) -> list[str]:
    """Two to five words of one passage each."""
    chance = random.Random(2)  # noqa: S311 - repeatable, not secret
    async with stack.postgres.read() as conn:
        rows = await (await conn.execute("select text from chunks order by id")).fetchall()
    out: dict[str, None] = {}  # each once, in an order that is the same each time
    for _ in range(20 * QUESTIONS):
        words = re.findall(r"[A-Za-z_]{3,30}", chance.choice(rows)["text"])
        if len(words) < 20:
            continue
        out[" ".join(chance.sample(words, chance.randint(2, 5)))] = None
        if len(out) == QUESTIONS:
            break
    return list(out)


async def forget(config: Path) -> None:
    """Drop our Qdrant collections: the server is not ours alone."""
    async with open_stack(load(config), index=False) as stack:
        for generation in await stack.generations.all():
            name = generation.index_name
            await stack.qdrant.run(lambda c, name=name: c.delete_collection(name))


def start(config: Path, port: int, log: Any) -> tuple["subprocess.Popen[bytes]", float, float]:
    """Start the server; returns it, seconds to READY=1 and to 200 on /health/ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0aistack-benchmark-" + secrets.token_hex(8))
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


async def one_round(spec: dict[str, Any], clients: int, per_s: float | None = None) -> list[float]:
    """Seconds of each request of ``clients`` for a time.

    Args:
        spec: has the port, a key, the questions and the seconds.
        clients: how many ask at once.
        per_s: requests a second of all together, at even distances whatever the answers take; what
            comes late for that counts from when it was due. None: each asks again as soon as it is
            answered.
    """
    chance = random.Random()  # noqa: S311 - not secret
    waiting: list[str] = []
    taken: list[float] = []

    async def one(ask: Ask, due: float) -> None:
        if not waiting:
            waiting.extend(chance.sample(spec["questions"], len(spec["questions"])))
        await ask(waiting.pop())
        taken.append(time.perf_counter() - due)

    async def client(number: int, ask: Ask, begin: float) -> None:
        end = begin + spec["seconds"]
        if per_s is None:
            while (due := time.perf_counter()) < end:
                await one(ask, due)
            return
        due = begin + number / per_s
        while due < end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await one(ask, due)
            due += clients / per_s

    # Connections of the round's own: the server closes those that lie idle during another's.
    async with _asking(spec, clients) as asks:
        begin = time.perf_counter()
        await asyncio.gather(*(client(n, ask, begin) for n, ask in enumerate(asks)))
    return taken


@asynccontextmanager
async def _asking(spec: dict[str, Any], clients: int) -> AsyncIterator[list[Ask]]:
    """Askers over HTTP, each with a connection of its own; the least work that HTTP allows."""
    streams = [await asyncio.open_connection("127.0.0.1", spec["port"]) for _ in range(clients)]
    head = (
        "POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {spec['key']}\r\nContent-Length: "
    ).encode()

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: str) -> None:
        body = json.dumps({"query": text, "collection": COLLECTION}).encode()
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
