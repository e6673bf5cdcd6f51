"""Side-by-side run that chooses the web framework of the JSON API server.

Bare ASGI + msgspec (the floor), Starlette + msgspec (the reference of all ratios), Litestar (native
msgspec) and FastAPI (pydantic) do the same typed work behind uvicorn with uvloop and httptools, one
process each: ``GET /ping``, and ``POST /query``, where a ~300 byte body is validated and ten typed
hits (~3 KB) are built and encoded. Before any timing the script checks that all give equal answers
and refuse the same bad requests, so that nobody wins by doing less. (Coercion is left at each
library's default: plain msgspec refuses ``"limit": "10"``, Litestar and pydantic convert it.)

Needs Linux, Python 3.11+, ``wrk`` (``apt-get install wrk``) and, in a throw-away environment::

    python3.11 -m venv /tmp/fw-venv
    /tmp/fw-venv/bin/pip install starlette msgspec uvicorn uvloop httptools litestar fastapi
    /tmp/fw-venv/bin/python benchmarks/frameworks.py > /tmp/frameworks.md

The default run takes about six minutes. Traffic stays on 127.0.0.1. Client and servers share the
machine: read the ratios within one run; requests/s do not compare between machines or runs.
"""

import argparse
import http.client
import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from itertools import product
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Annotated, Any

import msgspec

App = Callable[..., Awaitable[None]]
Sample = tuple[float, float, float]  # requests per second, p50 and p99 in milliseconds
HOST = "127.0.0.1"
LIBS = ("uvicorn", "uvloop", "httptools", "msgspec", "starlette", "litestar", "fastapi", "pydantic")
PONG = {"ok": True}
TEXT = ("a passage of stored text that answers the query well enough to be shown " * 3)[:200]
ROWS = [(f"id-{i:04d}", f"Page {i}", f"docs/page-{i}.md", 1 / (i + 1), TEXT) for i in range(10)]
FILTER = {"path_prefix": "docs/", "tags": ["howto", "client", "retry", "networking"]}
QUERY = f"how do I configure the {'retry and timeout ' * 5} policy of a client of a slow upstream?"
BODY = {"query": QUERY, "collection": "manual", "limit": 10, "filter": FILTER}
BAD = ({"limit": 101}, {"query": ""}, {"filter": FILTER | {"tags": [1]}})
LUA = """wrk.method, wrk.body = "%s", [==[%s]==]
wrk.headers["Content-Type"] = "application/json"
done = function(summary, latency, _)
  local s, e = summary, summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("RESULT %%d %%d %%d %%d %%d\\n",
    s.requests, s.duration, latency:percentile(50), latency:percentile(99), failed))
end"""


class Filter(msgspec.Struct):
    path_prefix: str
    tags: list[str]


class Query(msgspec.Struct):
    query: Annotated[str, msgspec.Meta(min_length=1, max_length=10240)]
    collection: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)]
    filter: Filter


class Hit(msgspec.Struct):
    id: str
    title: str
    path: str
    score: float
    text: str


class Answer(msgspec.Struct):
    collection: str
    hits: list[Hit]


encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Query).decode


def answer(query: Query) -> Answer:
    """Build fresh structs per request: a server with a real index cannot reuse them either."""
    return Answer(query.collection, [Hit(*row) for row in ROWS[: query.limit]])


async def raw_app(scope: dict[str, Any], receive: Any, send: App) -> None:
    """Do the typed work with no framework at all, to show what any framework adds."""
    if scope["type"] != "http":  # uvicorn takes the error to mean "no lifespan support"
        raise NotImplementedError
    status, content, body, more = 200, encode(PONG), b"", True
    if scope["path"] == "/query":
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        try:
            content = encode(answer(decode(body)))
        except msgspec.ValidationError as error:
            status, content = 400, encode({"detail": str(error)})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def starlette_app() -> App:
    """Use Starlette's routes and requests, and msgspec for both directions of JSON."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    def reply(value: object, status: int = 200) -> Response:
        return Response(encode(value), status, media_type="application/json")

    async def ping(_: Request) -> Response:
        return reply(PONG)

    async def query(request: Request) -> Response:
        try:
            return reply(answer(decode(await request.body())))
        except msgspec.ValidationError as error:
            return reply({"detail": str(error)}, 400)

    return Starlette(routes=[Route("/ping", ping), Route("/query", query, methods=["POST"])])


def litestar_app() -> App:
    """Use Litestar as documented; OpenAPI is off because the others serve no schema here."""
    from litestar import Litestar, get, post

    @get("/ping")
    async def ping() -> dict[str, bool]:
        return PONG

    @post("/query", status_code=200)
    async def query(data: Query) -> Answer:
        return answer(data)

    return Litestar([ping, query], openapi_config=None)


def fastapi_app() -> App:
    """Use FastAPI as documented, without the schema and tracing that the others lack."""
    from fastapi import FastAPI
    from pydantic import BaseModel, Field

    class FilterModel(BaseModel):
        path_prefix: str
        tags: list[str]

    class QueryModel(BaseModel):
        query: Annotated[str, Field(min_length=1, max_length=10240)]
        collection: str
        limit: Annotated[int, Field(ge=1, le=100)]
        filter: FilterModel

    class HitModel(BaseModel):
        id: str
        title: str
        path: str
        score: float
        text: str

    class AnswerModel(BaseModel):
        collection: str
        hits: list[HitModel]

    off: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans"), False)
    app = FastAPI(openapi_url=None, telemetry=off)  # on by default

    @app.get("/ping")
    async def ping() -> dict[str, bool]:
        return PONG

    @app.post("/query")
    async def query(data: QueryModel) -> AnswerModel:
        rows = ROWS[: data.limit]
        hits = [HitModel(id=i, title=t, path=p, score=s, text=x) for i, t, p, s, x in rows]
        return AnswerModel(collection=data.collection, hits=hits)

    return app


APPS: dict[str, tuple[str, Callable[[], App]]] = {
    "raw": ("raw ASGI + msgspec", lambda: raw_app),
    "starlette": ("Starlette + msgspec", starlette_app),
    "litestar": ("Litestar (msgspec)", litestar_app),
    "fastapi": ("FastAPI (pydantic)", fastapi_app),
}


def serve(name: str, port: int) -> None:
    """Serve one app until stdin closes, so that no server outlives a parent that was killed."""
    import uvicorn

    options: Any = {"host": HOST, "port": port, "loop": "uvloop", "http": "httptools", "ws": "none"}
    options |= {"log_level": "error", "access_log": False}
    Thread(target=uvicorn.run, args=[APPS[name][1]()], kwargs=options, daemon=True).start()
    sys.stdin.read()


def call(port: int, path: str, body: object = None) -> tuple[int, Any]:
    """Send one request (POST if there is a body); return status and parsed answer."""
    method, data = ("GET", None) if body is None else ("POST", json.dumps(body))
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    connection.request(method, path, data, {"Content-Type": "application/json"})
    with connection.getresponse() as response:
        return response.status, json.load(response)


def start(name: str, stack: ExitStack) -> str:
    """Start a server, register its end, and return its URL once its answers proved right."""
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, __file__, "--serve", name, "--port", str(port)]
    process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE))
    stack.callback(process.kill)  # runs before the context above waits for the process
    pong: tuple[int, Any] = (0, None)
    for _ in range(300):  # 30 s
        with suppress(ConnectionRefusedError):
            pong = call(port, "/ping")
            break
        time.sleep(0.1)
    expected = json.loads(encode(answer(msgspec.convert(BODY, Query))))
    good = pong == (200, PONG) and call(port, "/query", BODY) == (200, expected)
    if not good or any(call(port, "/query", BODY | bad)[0] not in (400, 422) for bad in BAD):
        sys.exit(f"{name}: did not start, or its answers differ from what all must give")
    return f"http://{HOST}:{port}"


def wrk(url: str, script: Path, connections: int, seconds: int) -> Sample:
    """Load one URL; any failed request voids the run, since errors are cheap to serve."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    count, micros, p50, p99, errors = map(int, output.partition("RESULT ")[2].split())
    if errors or not count:
        sys.exit(f"{url}: {errors} errors in {count} requests\n{output}")
    return count / micros * 1e6, p50 / 1e3, p99 / 1e3


def table(samples: dict[tuple[str, int, str], list[Sample]]) -> str:
    """Render medians; a ratio is the median of same-round ratios, which cancels slow drift."""
    text = "| request | connections | framework | req/s | min-max | p50 ms | p99 ms | ratio |\n"
    text += "|---|--:|---|--:|--:|--:|--:|--:|\n"
    for (kind, connections, name), runs in samples.items():
        rates, p50s, p99s = zip(*runs, strict=True)
        base = samples[kind, connections, "starlette"]
        ratio = median(run[0] / other[0] for run, other in zip(runs, base, strict=True))
        text += f"| {kind} | {connections} | {APPS[name][0]} | {median(rates):,.0f} "
        text += f"| {min(rates):,.0f}-{max(rates):,.0f} | {median(p50s):.2f} | {median(p99s):.2f} "
        text += f"| {ratio:.2f} |\n"
    return text


def main() -> None:
    """Print a table of interleaved rounds (every other one backwards, against order effects)."""
    parser = argparse.ArgumentParser(description="Compare web frameworks for the JSON API server.")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=int, default=4, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions; medians are reported")
    parser.add_argument("--serve", choices=APPS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.port)
        return
    if not shutil.which("wrk"):
        parser.error("wrk is missing: apt-get install wrk")
    keys = list(product(("GET /ping", "POST /query"), args.connections, APPS))
    samples: dict[tuple[str, int, str], list[Sample]] = {key: [] for key in keys}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {name: start(name, stack) for name in APPS}
        for method, body in (("GET", ""), ("POST", json.dumps(BODY))):
            (folder / f"{method}.lua").write_text(LUA % (method, body))
        for number in range(args.rounds):
            for kind, connections, name in keys[:: -1 if number % 2 else 1]:
                method, path = kind.split()
                target = (urls[name] + path, folder / f"{method}.lua", connections)
                wrk(*target, seconds=1)
                sample = wrk(*target, seconds=args.seconds)
                samples[kind, connections, name].append(sample)
                print(number + 1, kind, connections, name, f"{sample[0]:.0f}", file=sys.stderr)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBS)
    print(f"{table(samples)}\nMedians of {args.rounds} x {args.seconds} s; ratio: to Starlette.")
    print(f"Python {sys.version.split()[0]}, {versions}; {os.cpu_count()} CPUs shared with wrk.")


if __name__ == "__main__":
    main()
