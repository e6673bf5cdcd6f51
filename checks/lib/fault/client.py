"""One request, and whether its answer is one that may be given while parts fail."""

import itertools
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
from model import Model

DEADLINE_S = 65.0
"""nginx answers 504 after 60 s, whatever is behind it."""
REFUSALS = {429, 502, 503, 504}
PROBLEMS = {f"urn:aistack:problem:{code}" for code in ("unavailable", "rate-limited")}
AWAY = ("does not answer", "cannot do this now", "took too long", "try again", "not available")
"""How a tool says that it cannot do its work now; nothing else is an excuse."""


@dataclass(frozen=True)
class Answer:
    """What came back; ``status`` 0: nothing did."""

    status: int
    body: Any = None

    @property
    def ok(self) -> bool:
        """It was done."""
        return 200 <= self.status < 300


@dataclass
class Client:
    """Asks at the edge, and notes every answer that should not be."""

    http: httpx.AsyncClient
    model: Model
    edge_is_down: bool = False
    """nginx itself is hit: connections may break."""
    counts: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def ask(
        self, method: str, path: str, body: Any = None, *, also: tuple[int, ...] = ()
    ) -> Answer:
        """Send one request; never twice.

        Args:
            method: of HTTP.
            path: with its query.
            body: sent as JSON.
            also: statuses below 500 that are right here, besides 2xx.
        """
        start, was_down = time.monotonic(), self.edge_is_down
        what = f"{method} {path}"
        headers = {"Accept": "application/json, text/event-stream"} if path.endswith("/mcp") else {}
        try:
            got = await self.http.request(method, path, json=body, headers=headers)
        except httpx.TimeoutException:
            self.model.wrong(f"{what} hung for {time.monotonic() - start:.0f} s")
            return Answer(0)
        except httpx.TransportError as exc:
            if not (was_down or self.edge_is_down):
                self.model.wrong(f"{what}: the connection broke: {exc!r}")
            self.counts["broken"] += 1
            return Answer(0)
        finally:
            self.longest_s = max(self.longest_s, time.monotonic() - start)
        self.counts[f"{got.status_code}"] += 1
        if got.status_code in REFUSALS:
            self._check_problem(what, got)
        elif not (200 <= got.status_code < 300 or got.status_code in also):
            self.model.wrong(f"{what}: {got.status_code} {got.text[:300]}")
            return Answer(0)
        try:
            return Answer(got.status_code, got.json() if got.content else None)
        except json.JSONDecodeError:
            self.model.wrong(f"{what}: {got.status_code}, and no JSON: {got.text[:300]}")
            return Answer(0)

    def _check_problem(self, what: str, got: httpx.Response) -> None:
        media = got.headers.get("content-type", "").partition(";")[0]
        try:
            kind = got.json().get("type")
        except (json.JSONDecodeError, AttributeError):
            kind = None
        if media != "application/problem+json" or kind not in PROBLEMS:
            self.model.wrong(f"{what}: {got.status_code} {media} {got.text[:300]}")

    async def call(self, tool: str, arguments: dict[str, Any], at: str = "") -> Answer:
        """Call a tool over MCP; its answer is that of HTTP, so far as can be: 200 or 503.

        Args:
            tool: its name.
            arguments: what it is given.
            at: prefix of the service's path.
        """
        request = {
            "jsonrpc": "2.0",
            "id": next(self.numbers),
            "method": "tools/call",
            "params": {"name": tool, "arguments": arguments},
        }
        got = await self.ask("POST", f"{at}/mcp", request)
        if not got.ok:
            return got
        result = got.body.get("result") if isinstance(got.body, dict) else None
        if result is None:
            self.model.wrong(f"{tool}: {str(got.body)[:300]}")
            return Answer(0)
        if result.get("isError"):
            told = " ".join(part.get("text", "") for part in result["content"])
            self.counts["tool error"] += 1
            if not any(words in told for words in AWAY):
                self.model.wrong(f"{tool}: {told[:300]}")
            return Answer(503, told)
        return Answer(200, result["structuredContent"])
