"""Asks AIDB in several ways without a pause, until SIGTERM, but each at least `LEAST` times: BASE KEY_FILE.

Prints one JSON object: how often each way was asked, the longest wait in seconds, all failures, and
the paths of the documents whose writing was acknowledged: each has its path's word in its text.
"""

import asyncio
import itertools
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

COLLECTION = "nixos_docs"
LEAST = 6
"""It would be no load if a way were hardly asked, as a busy machine would have it."""
QUESTION = {"query": "how do I roll back", "collection": COLLECTION}
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "search", "arguments": QUESTION},
}
Ask = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]
# No document of another run is written over.
paths = (f"load/{round(time.time())}n{number}.md" for number in itertools.count(1))
counts: dict[str, int] = {}
longest: dict[str, float] = {}
failures: list[dict[str, object]] = []
acknowledged: list[str] = []


def query(client: httpx.AsyncClient) -> Awaitable[httpx.Response]:
    return client.post("/v1/query", json=QUESTION)


def documents(client: httpx.AsyncClient) -> Awaitable[httpx.Response]:
    return client.get(f"/v1/collections/{COLLECTION}/documents", params={"limit": 5})


async def write(client: httpx.AsyncClient) -> httpx.Response:
    path = next(paths)
    body = {"path": path, "content": f"# Load\n\nWritten as {Path(path).stem}."}
    answer = await client.put(f"/v1/collections/{COLLECTION}/documents", json=body)
    if answer.is_success:
        acknowledged.append(path)
    return answer


def tool(client: httpx.AsyncClient) -> Awaitable[httpx.Response]:
    accept = {"Accept": "application/json, text/event-stream"}
    return client.post("/mcp", json=CALL, headers=accept)


async def go_on(way: str, ask: Ask, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
    """Ask again and again; nothing is tried twice."""
    counts[way] = 0
    while not stop.is_set() or counts[way] < LEAST:
        counts[way] += 1
        start = time.monotonic()
        try:
            answer = await ask(client)
            wrong = answer.status_code >= 400 or '"error"' in answer.text
            told = f"{answer.status_code} {answer.text[:200]}" if wrong else ""
        except httpx.HTTPError as exc:
            told = f"{type(exc).__name__}: {exc}"
        longest[way] = max(longest.get(way, 0.0), round(time.monotonic() - start, 3))
        if told:
            failures.append({"way": way, "at": time.strftime("%T"), "told": told})
        await asyncio.sleep(0.15)


async def main(base: str, key_file: str) -> None:
    """Every way over a kept connection and over a new one each time, all at once."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    options = {
        "base_url": base,
        "headers": {"Authorization": f"Bearer {Path(key_file).read_text().strip()}"},
        "verify": False,  # a test's own certificate
        "timeout": 60,
    }
    once = httpx.Limits(max_keepalive_connections=0)
    async with (
        httpx.AsyncClient(**options) as kept,
        httpx.AsyncClient(**options, limits=once) as new,
    ):
        await asyncio.gather(
            *(
                go_on(f"{ask.__name__}, {how}", ask, client, stop)
                for how, client in (("kept", kept), ("new", new))
                for ask in (query, documents, write, tool)
            )
        )
    told = {"counts": counts, "longest": longest, "failures": failures}
    print(json.dumps({**told, "acknowledged": acknowledged}))


asyncio.run(main(*sys.argv[1:]))
