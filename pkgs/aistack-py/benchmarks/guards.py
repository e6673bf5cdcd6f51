"""Measures what the guards before the API cost: the guarded endpoint beside a bare one.

    python benchmarks/guards.py [--rounds 7] [--seconds 1] [--before SOURCE] [--json]

Needs the package with its extra `embedded`, and redis-server in the PATH. Everything else is made
for the run: PostgreSQL with a key, Redis on a unix socket, and one uvicorn process a case.

bare     a Starlette route that decodes the same typed question by msgspec and answers the same
         page of ten hits; no guards, no log
guarded  the app of `create_app`, whose search is replaced by one that makes the real checks of a
         question (size, characters, screening, cursor, metrics) and answers that page

Then the same with the real search behind it, over our docs in qdrant-client's local mode: once the
search alone, without any guard, and once all of it with limits in Redis. 32 clients ask as fast as
they are answered, and then at a pace of `PACE` of what the search alone can do.

The log goes to a file. The load comes from a process of its own, whose own time a request is told,
for it shares the processors with the servers. All cases take turns within a round, so that a noisy
machine hurts all; differences are those of a round, and their median is told. The processor time
is the kernel's count for the server's process: it scatters least, and says what a request costs
where the time of a request is mostly waiting for others. ``--before`` is the source folder of
another version of the package, measured beside this one.
"""

import argparse
import asyncio
import dataclasses
import gc
import json
import logging
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import redis
import serving
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from aistack.access.model import Principal
from aistack.api.app import create_app
from aistack.api.endpoint import PRINCIPAL
from aistack.cli.serve import uvicorn_options
from aistack.embedded.postgres import EmbeddedPostgres
from aistack.kit import logs
from aistack.knowledge.model import Hit, Query, SearchPage, Signals, Total
from aistack.limits.identity import of_key
from aistack.limits.limiter import Limiter
from aistack.limits.wrong_keys import WrongKeys
from aistack.migrations.runner import migrate
from aistack.monitoring.metrics import Metrics
from aistack.screening.detectors import scan
from aistack.screening.screen import DETECTORS
from aistack.settings.load import load
from aistack.settings.schema import RateLimits, Redis, Settings
from aistack.wiring import Stack, open_stack

CORPUS = Path(__file__).parent.parent / "tests" / "corpus"
DOCS = Path(__file__).parents[3] / "docs"
PACE = 0.4
PACED_S = 5.0
"""Length of a paced turn: so few requests need a longer one for their slowest hundredth."""
PLENTY = 100_000_000
"""A rate that no load reaches."""
REMEMBERED = 1000
"""Clients whose memory is measured."""
SHORT, LONG = "60 bytes", "10 KiB"
PAGE = SearchPage(
    hits=[
        Hit(
            document_id=UUID(int=i),
            chunk_id=UUID(int=100 + i),
            collection=serving.COLLECTION,
            project="manual",
            path=f"docs/page-{i}.md",
            title=f"Page {i}",
            heading="Networking > Retries",
            text=("A passage of stored text that answers the question well enough. " * 4)[:250],
            score=round(1 / (i + 1), 6),
            signals=Signals(12.5 - i, None),
            metadata={},
        )
        for i in range(10)
    ],
    total=Total(100, "at_least"),
    has_more=True,
    next_cursor=None,
    mode="lexical",
)
GUARDS = {
    # What is told: the middleware or the part that is left out.
    "request id": "RequestId",
    "access log and its metrics": "AccessLog",
    "of these the log line": "line",
    "security headers": "SecurityHeaders",
    "unexpected errors": "UnexpectedErrors",
    "body limit": "BodyLimit",
    "authentication, wall": "Authentication",
    "rate limit, headers": "RateLimit",
    "screening": "screening",
    "all checks of the question": "checks",
    "everything above": "all",
}


def main() -> None:
    """Parse the command line, run on servers of our own, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds [7]")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a case's turn [1]")
    parser.add_argument("--before", type=Path, help="another version's source folder")
    parser.add_argument("--no-parts", action="store_true", help="not each guard by itself")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--serve", help=argparse.SUPPRESS)  # how it starts its servers
    parser.add_argument("--load", help=argparse.SUPPRESS)  # and its load generator
    args = parser.parse_args()
    if args.serve:
        uvloop.run(serve(json.loads(args.serve)))
        return
    if args.load:
        print(json.dumps(uvloop.run(generate_load(json.loads(Path(args.load).read_text("utf-8"))))))
        return
    with tempfile.TemporaryDirectory(prefix="aistack-guards-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        with EmbeddedPostgres(folder / "postgresql") as dsn, redis_server(folder) as url:
            result = measure(folder, dsn, url, args)
    print(json.dumps(result, indent=2) if args.json else table(result))


def measure(folder: Path, dsn: str, url: str, args: argparse.Namespace) -> dict[str, Any]:
    """Start every case, load them in turns; returns all figures."""
    config = folder / "config.toml"
    text = f"[postgres]\ndsn = {json.dumps(dsn)}\n"
    config.write_text(text, "utf-8")
    with_redis = folder / "redis.toml"
    with_redis.write_text(text + f"[redis]\nurl = {json.dumps(url)}\n", "utf-8")
    key = asyncio.run(prepare(config))
    cases: dict[str, dict[str, Any]] = {
        "bare": {"config": None},
        "guarded": {"config": str(config)},
        "guarded, Redis": {"config": str(with_redis)},
    }
    if args.before:
        cases["before"] = {"config": str(config), "source": str(args.before)}
        cases["before, Redis"] = {"config": str(with_redis), "source": str(args.before)}
    whole = list(cases)
    cases |= searching(folder, with_redis.read_text("utf-8"))
    parts = {} if args.no_parts else GUARDS
    cases |= {f"without {what}": {"config": str(config), "off": off} for what, off in parts.items()}
    plan = [
        {"cases": whole, "clients": clients, "size": size}
        for size in (SHORT, LONG)
        for clients in (1, 32)
    ]
    if parts:
        names = ["bare", "guarded", *(f"without {what}" for what in parts)]
        plan.append({"cases": names, "clients": 32, "size": SHORT})
    plan += [
        {"cases": ["search", "guarded search"], "clients": 32, "size": SHORT, "pace": pace}
        for pace in (None, PACE)
    ]
    with ExitStack() as servers:
        for name, case in cases.items():
            case["port"] = serving.free_port()
            log = servers.enter_context((folder / f"{case['port']}.log").open("w"))
            case["pid"] = servers.enter_context(server(case, log)).pid
            wait_until_ready(name, case["port"])
        spec = {
            "cases": cases,
            "plan": plan,
            "key": key,
            "questions": questions(),
            "rounds": args.rounds,
            "seconds": args.seconds,
        }
        (folder / "load.json").write_text(json.dumps(spec), "utf-8")
        load = [sys.executable, __file__, "--load", str(folder / "load.json")]
        rounds = json.loads(subprocess.run(load, check=True, stdout=subprocess.PIPE).stdout)
    return {
        "load": [summary(step, found) for step, found in zip(plan, rounds, strict=True)],
        "memory": asyncio.run(memory(config, url)),
        "load_average": os.getloadavg()[0],
    }


async def prepare(config: Path) -> str:
    """A database with a key; returns the key."""
    settings = load(config)
    await migrate(settings.postgres.dsn)
    async with open_stack(settings, index=False) as stack:
        made = await stack.keys.create(
            name="guards", scopes=["read"], per_minute=PLENTY, per_hour=PLENTY
        )
        return made.key


def searching(folder: Path, text: str) -> dict[str, dict[str, Any]]:
    """The cases with the real search; each has an index of its own, which one process may open."""
    found = {}
    for name, off in (("search", "all"), ("guarded search", "")):
        config = folder / f"{name}.toml"
        config.write_text(f"{text}[qdrant]\npath = {json.dumps(str(folder / name))}\n", "utf-8")
        found[name] = {"config": str(config), "off": off, "searches": True}
    asyncio.run(serving.prepare(Path(found["search"]["config"]), DOCS, 1000))
    shutil.copytree(folder / "search", folder / "guarded search")
    return found


def questions() -> dict[str, list[str]]:
    """Questions of developers, and texts of 10 KiB that are made of excerpts; all unsuspicious."""
    chance = random.Random(1)  # noqa: S311 - repeatable, not secret
    lines = (CORPUS / "questions.txt").read_text("utf-8").splitlines()
    short = [line for line in lines if 45 <= len(line) <= 75 and not scan(line, DETECTORS)]
    with (CORPUS / "snippets.jsonl").open(encoding="utf-8") as rows:
        texts = [json.loads(row)["text"] for row in rows]
    texts = [text for text in texts if text.isascii() and not scan(text, DETECTORS)]
    long: list[str] = []
    while len(long) < 200:
        text = "\n".join(chance.sample(texts, len(texts)))[:10_000]
        if not scan(text, DETECTORS):
            long.append(text)
    return {
        # Many times, for the load generator shuffles them anew each time that all were asked.
        SHORT: short * 20,
        LONG: long * 20,
    }


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis of our own; yields its URL."""
    path = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None and not path.exists():
            time.sleep(0.02)
        yield f"unix://{path}"
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def server(case: dict[str, Any], log: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """One case as a process."""
    env = dict(os.environ)
    if "source" in case:
        env["PYTHONPATH"] = case["source"]
    command = [sys.executable, __file__, "--serve", json.dumps(case)]
    process = subprocess.Popen(command, env=env, stderr=log)
    try:
        yield process
    finally:
        serving.stop(process)


def wait_until_ready(name: str, port: int) -> None:
    """Until it listens: without Qdrant, /health/ready would never say so."""
    end = time.monotonic() + serving.START_S
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f"{name} does not start")


async def serve(case: dict[str, Any]) -> None:
    """Be one case until SIGTERM."""
    if case["config"] is None:
        await listen(bare_app(), Settings(), case["port"])
        return
    settings = load(Path(case["config"]))
    logs.set_up(settings.log.level, settings.log.format)
    async with open_stack(settings, index=False) as stack:
        app = guarded_app(stack, case.get("off", ""), searches=case.get("searches", False))
        async with app.router.lifespan_context(app):
            await listen(app, settings, case["port"])


async def listen(app: Starlette, settings: Settings, port: int) -> None:
    """Serve as `aistack serve` does."""
    options = uvicorn_options(settings) | {"port": port, "loop": "none", "lifespan": "off"}
    await uvicorn.Server(uvicorn.Config(app, **options)).serve()


def bare_app() -> Starlette:
    """The least that answers the question."""
    decode, encode = msgspec.json.Decoder(Query).decode, msgspec.json.Encoder().encode

    async def query(request: Request) -> Response:
        decode(await request.body())
        return Response(encode(PAGE), media_type="application/json")

    return Starlette(routes=[Route("/v1/query", query, methods=["POST"])])


class StaticSearch:
    """Checks as the real search does, and answers the same page always."""

    def __init__(self, stack: Stack, *, checks: bool) -> None:
        self._checked = stack.search._checked if checks else lambda *_: None  # noqa: SLF001

    async def search(self, principal: Principal, query: Query) -> SearchPage:
        principal.require("read")
        principal.require_collection(query.collection)
        self._checked(principal, query)
        return PAGE


class As:
    """In the place of the authentication: lets everybody in."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.principal = Principal(
            "0" * 12, "guards", frozenset({"read"}), per_minute=PLENTY, per_hour=PLENTY
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[PRINCIPAL] = self.principal
        await self.app(scope, receive, send)


def guarded_app(stack: Stack, off: str, *, searches: bool) -> Starlette:
    """The real app, but for what is off, and for the search itself unless it ``searches``."""
    if off == "screening":
        stack.search._screen.question = lambda _text: None  # type: ignore[method-assign]  # noqa: SLF001
    if off == "line":
        logging.getLogger("aistack.access_log").setLevel(logging.WARNING)
    checks = off not in ("checks", "all")
    if searches:
        search: Any = stack.search
        if not checks:
            search._checked = lambda _, query: (query.query, 0)  # noqa: SLF001
    else:
        search = StaticSearch(stack, checks=checks)
    app = create_app(dataclasses.replace(stack, search=search))
    kept: list[Middleware] = []
    for item in app.user_middleware:
        if off not in ("all", item.cls.__name__):
            kept.append(item)
        elif item.cls.__name__ == "Authentication":
            kept.append(Middleware(As))
    app.user_middleware[:] = kept
    return app


async def generate_load(spec: dict[str, Any]) -> list[dict[str, list[dict[str, float]]]]:
    """Let all cases of each step of the plan take turns."""
    asked = {
        (name, size): {
            "port": case["port"],
            "key": spec["key"],
            "questions": spec["questions"][size],
            "seconds": spec["seconds"],
        }
        for name, case in spec["cases"].items()
        for size in spec["questions"]
    }
    for way in asked.values():  # the first requests make caches, metrics and connections
        await serving.one_round(way | {"seconds": 0.3}, 32)
    out = []
    for step in spec["plan"]:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in step["cases"]}
        pace = None
        if step.get("pace"):  # of what the last step found
            pace = step["pace"] * statistics.median(f["per_s"] for f in out[-1][step["cases"][0]])
        for number in range(spec["rounds"]):
            first = number % len(step["cases"])
            for name in step["cases"][first:] + step["cases"][:first]:
                pid, way = spec["cases"][name]["pid"], asked[name, step["size"]]
                if pace is not None:
                    way = way | {"seconds": PACED_S}
                # Since its last turn the server has forgotten the key: all clients at once would
                # begin with a look-up, and the slowest hundredth would be these.
                await serving.one_round(way | {"seconds": 0.05}, 1)
                before, own = processor_s(pid), time.process_time()
                times = await serving.one_round(way, step["clients"], pace)
                used, own = processor_s(pid) - before, time.process_time() - own
                times.sort()
                found[name].append(
                    {
                        "p50_ms": times[len(times) // 2] * 1000,
                        "p99_ms": times[int(len(times) * 0.99)] * 1000,
                        "per_s": len(times) / way["seconds"],
                        "server_us": used / len(times) * 1e6,
                        "load_us": own / len(times) * 1e6,
                    }
                )
        out.append(found)
    return out


def processor_s(pid: int) -> float:
    """Processor time of a process' first thread, in which all requests are served."""
    return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0]) / 1e9


def summary(step: dict[str, Any], found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians of the rounds, and of the differences within a round."""
    rows = {}
    for name, rounds in found.items():
        row = {figure: median([one[figure] for one in rounds]) for figure in rounds[0]}
        pairs = list(zip(rounds, next(iter(found.values())), strict=True))
        for figure in ("p50_ms", "p99_ms", "server_us"):
            row[f"more_{figure}"] = median([a[figure] - b[figure] for a, b in pairs])
        for figure in ("per_s", "server_us"):
            row[f"ratio_{figure}"] = median([a[figure] / b[figure] for a, b in pairs])
        if "guarded" in found:
            saved = zip(found["guarded"], rounds, strict=True)
            row["saved_us"] = median([a["server_us"] - b["server_us"] for a, b in saved])
        rows[name] = row
    return {
        "clients": step["clients"],
        "size": step["size"],
        "pace": step.get("pace"),
        "rows": rows,
    }


def median(values: list[float]) -> float:
    """Rounded for people."""
    return round(statistics.median(values), 3)


async def memory(config: Path, url: str) -> dict[str, float]:
    """Bytes of `REMEMBERED` clients: their limits, and their keys that were right; and in Redis."""
    async with open_stack(load(config), index=False) as stack:
        limiter = Limiter(RateLimits(), Redis(), Metrics(), b"secret")
        wall = WrongKeys(limiter)
        made = [
            await stack.keys.create(name=f"client {i}", scopes=["read"]) for i in range(REMEMBERED)
        ]

        async def ask(number: int) -> None:
            key = made[number].key
            principal = await wall.check(key, f"192.0.{number // 250}.{number % 250}", verify)
            await limiter.take(of_key(principal.key_id))

        verify = stack.keys.verify
        await ask(0)
        gc.collect()
        tracemalloc.start()
        for number in range(1, REMEMBERED):
            await ask(number)
        gc.collect()
        process = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    shared = Limiter(RateLimits(), Redis(url=url), Metrics(), b"secret")
    client = redis.Redis.from_url(url)
    client.flushall()
    await shared.take("key:first")
    empty = client.info("memory")["used_memory"]
    for one in made:
        await shared.take(of_key(one.info.id))
    full = client.info("memory")["used_memory"]
    client.close()
    await shared.close()
    return {"process_bytes": process, "redis_bytes": full - empty}


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [f"load average at the end {result['load_average']:.1f}"]
    in_parts = [any(name.startswith("without") for name in s["rows"]) for s in result["load"]]
    for step, parts in zip(result["load"], in_parts, strict=True):
        if parts:
            continue
        pace = f", at {step['pace']} of what the first can do" if step["pace"] else ""
        lines += [
            "",
            f"{step['clients']} clients, questions of {step['size']}{pace}",
            "",
            "| case | p50 ms | p99 ms | requests/s | us a request | p50 more | p99 more "
            "| us more | ratio requests/s | ratio us | load generator us |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        ]
        for name, f in step["rows"].items():
            lines.append(
                f"| {name} | {f['p50_ms']:.3f} | {f['p99_ms']:.3f} | {f['per_s']:,.0f} "
                f"| {f['server_us']:.1f} | {f['more_p50_ms']:.3f} | {f['more_p99_ms']:.3f} "
                f"| {f['more_server_us']:.1f} | {f['ratio_per_s']:.2f} "
                f"| {1 / f['ratio_server_us']:.2f} | {f['load_us']:.1f} |"
            )
    for step, parts in zip(result["load"], in_parts, strict=True):
        if parts:
            lines += ["", "| without | us saved a request |", "|---|--:|"]
            lines += [
                f"| {name.removeprefix('without ')} | {f['saved_us']:.1f} |"
                for name, f in step["rows"].items()
                if name.startswith("without ")
            ]
    used = result["memory"]
    lines += [
        "",
        f"memory of {REMEMBERED} clients: {used['process_bytes'] / 1e6:.2f} MB in the process, "
        f"{used['redis_bytes'] / 1e6:.2f} MB in Redis",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
