"""The limits over HTTP: headers, weights, refusals; and MCP's writing tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from aistack.access.model import Principal
from aistack.api.app import create_app
from aistack.errors import ConfigError, UnauthenticatedError
from aistack.limits.identity import Proxies
from aistack.limits.limiter import Limiter
from aistack.monitoring.metrics import Metrics
from aistack.settings.schema import RateLimits, Redis, Settings

pytestmark = pytest.mark.anyio
# Not made anew: a test's name is the same in every process that collects it.
UNKNOWN = "5dbe0cf1-38ff-4aaa-a384-bd2791a7a384"
POLICY = '"minute";q=10;w=60, "hour";q=1000;w=3600'


class Keys:
    """Any key that begins with "good" is valid."""

    def __init__(self) -> None:
        self.asked = 0

    async def verify(self, presented: str) -> Principal:
        self.asked += 1
        if not presented.startswith("good"):
            raise UnauthenticatedError("a valid API key is needed")
        own = 3 if presented == "good, few" else None
        return Principal(presented, "a key", frozenset({"admin"}), per_minute=own)


class Nothing:
    """Answers every question with an empty list."""

    async def list(self, *_: object, **__: object) -> list[Any]:
        return []

    async def delete(self, *_: object, **__: object) -> None:
        return None


def make_stack(url: str | None = None, **values: Any) -> Any:
    limits = RateLimits(**{"per_minute": 10, **values})
    settings = Settings(rate_limits=limits)
    metrics = Metrics()

    async def ready() -> dict[str, bool]:
        return {"postgres": True, "qdrant": True}

    return SimpleNamespace(
        settings=settings,
        metrics=metrics,
        keys=Keys(),
        collections=Nothing(),
        documents=Nothing(),
        limiter=Limiter(limits, Redis(url=url), metrics, b"secret", clock=lambda: 1000.0),
        ready=ready,
    )


@asynccontextmanager
async def client(
    stack: Any, key: str = "good", peer: str = "127.0.0.1"
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(stack)
    transport = httpx.ASGITransport(app, client=(peer, 4711))
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://localhost:8091", headers=headers
        ) as http,
    ):
        yield http
    await stack.limiter.close()


def left(answer: httpx.Response) -> int:
    return int(answer.headers["RateLimit"].split(";r=")[1].partition(";")[0])


async def test_headers_tell_what_remains() -> None:
    async with client(make_stack()) as http:
        answer = await http.get("/v1/collections")
        assert answer.status_code == 200
        assert answer.headers["RateLimit-Policy"] == POLICY
        assert answer.headers["RateLimit"] == '"minute";r=9;t=6'


async def test_too_much_is_a_problem_with_a_time_to_come_back() -> None:
    stack = make_stack()
    async with client(stack) as http:
        for _ in range(10):
            assert (await http.get("/v1/collections")).status_code == 200
        answer = await http.get("/v1/collections")
        assert answer.status_code == 429
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Retry-After"] == "6"
        assert answer.headers["RateLimit"] == '"minute";r=0;t=6'
        assert answer.headers["RateLimit-Policy"] == POLICY
        problem = answer.json()
        assert problem["type"] == "urn:aistack:problem:rate-limited"
        assert problem["status"] == 429
        assert "10 a minute" in problem["detail"]
        # Another key behind the same address is another client.
        other = await http.get("/v1/collections", headers={"Authorization": "Bearer good2"})
        assert other.status_code == 200
        assert left(other) == 9
    values = stack.metrics.registry.get_sample_value
    assert values("aidb_rate_limit_rejections_total", {"scope": "minute"}) == 1
    labels = {"method": "GET", "route": "/v1/collections", "status": "429"}
    assert values("aidb_http_requests_total", labels) == 1


async def test_a_key_may_have_limits_of_its_own() -> None:
    async with client(make_stack(), key="good, few") as http:
        answers = [await http.get("/v1/collections") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["RateLimit-Policy"].startswith('"minute";q=3;w=60, "hour";q=1000')
        assert answers[3].headers["Retry-After"] == "20"


async def test_health_is_never_limited() -> None:
    stack = make_stack(per_minute=1)
    async with client(stack) as http:
        for _ in range(20):
            answer = await http.get("/health/live")
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers


async def body(size: int) -> AsyncIterator[bytes]:
    while size > 0:
        yield b" " * min(size, 1000)
        size -= 1000


@pytest.mark.parametrize(
    ("method", "path", "size", "weight"),
    [
        ("GET", "/v1/collections", 0, 1),
        ("HEAD", "/v1/collections", 0, 1),
        ("POST", "/v1/query", 10, 1),
        ("POST", "/mcp", 10, 1),
        ("POST", "/v1/query", 4095, 1),
        ("POST", "/v1/query", 4096, 2),
        ("POST", "/v1/query", 13_000, 4),
        ("POST", "/v1/collections", 10, 2),
        ("DELETE", f"/v1/documents/{UNKNOWN}", 0, 2),
        ("PUT", "/v1/collections/a/documents", 9000, 4),
        ("GET", "/no/such/page", 0, 1),
    ],
)
@pytest.mark.parametrize("told", [True, False])
async def test_what_requests_weigh(method, path, size, weight, told) -> None:
    content = b" " * size if told else body(size)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    async with client(make_stack(bytes_per_weight=4096)) as http:
        answer = await http.request(method, path, content=content, headers=headers)
        assert left(answer) == 10 - weight, answer.text


@pytest.mark.parametrize("path", ["/v1/query", "/mcp"])
async def test_a_body_of_untold_length_may_prove_too_heavy(path) -> None:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    async with client(make_stack(bytes_per_weight=1024)) as http:
        for _ in range(8):
            await http.get("/v1/collections")
        answer = await http.post(path, content=body(10_000), headers=headers)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 6
        assert answer.json()["type"] == "urn:aistack:problem:rate-limited"
        assert left(answer) == 1


async def call_tool(http: httpx.AsyncClient, name: str, **arguments: Any) -> httpx.Response:
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": name, "arguments": arguments},
    }
    return await http.post(
        "/mcp", json=message, headers={"Accept": "application/json, text/event-stream"}
    )


async def test_a_writing_tool_weighs_as_a_write() -> None:
    async with client(make_stack()) as http:
        assert left(await call_tool(http, "list_collections")) == 9
        answer = await call_tool(http, "delete_document", id=str(uuid4()))
        assert not answer.json()["result"]["isError"]
        assert left(answer) == 7
        for _ in range(6):
            await http.get("/v1/collections")
        answer = await call_tool(http, "delete_document", id=str(uuid4()))
        assert answer.json()["result"]["isError"]
        assert "try again in 6 s" in answer.json()["result"]["content"][0]["text"]
        assert (await call_tool(http, "list_collections")).status_code == 429


async def test_wrong_keys_are_slowed_down_by_address() -> None:
    stack = make_stack()
    async with client(stack) as http:

        async def present(key: str, origin: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": origin}
            return await http.get("/v1/collections", headers=headers)

        assert (await present("good", "203.0.113.9")).status_code == 200
        for i in range(5):
            # What the client writes itself, left of what the proxy wrote, changes nothing.
            assert (await present(f"bad-{i}", f"10.0.0.{i}, 203.0.113.9")).status_code == 401
        asked = stack.keys.asked
        answer = await present("bad", "203.0.113.9")
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "12"
        assert answer.json()["type"] == "urn:aistack:problem:rate-limited"
        assert stack.keys.asked == asked, "a walled key was looked up"
        assert (await present("good", "203.0.113.9")).status_code == 200
        assert (await present("bad", "198.51.100.1")).status_code == 401
    values = stack.metrics.registry.get_sample_value
    assert values("aidb_rate_limit_rejections_total", {"scope": "wrong_key"}) == 1
    assert values("aidb_http_requests_total", {"method": "-", "route": "-", "status": "429"}) == 1


async def test_switched_off() -> None:
    async with client(make_stack(enabled=False, per_minute=1)) as http:
        for _ in range(10):
            answer = await http.get("/v1/collections")
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers
        for _ in range(10):
            answer = await http.get("/v1/collections", headers={"Authorization": "Bearer bad"})
            assert answer.status_code == 401


async def test_denied_routes_without_redis() -> None:
    stack = make_stack("redis://127.0.0.1:1/0", deny_without_redis=("DELETE /v1/documents/{id}",))
    async with client(stack) as http:
        assert (await http.get("/v1/collections")).status_code == 200
        answer = await http.delete(f"/v1/documents/{uuid4()}")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "2"
        assert answer.json()["type"] == "urn:aistack:problem:unavailable"


@pytest.mark.parametrize(
    "wrong", [{"deny_without_redis": ("POST /v1/documents",)}, {"trusted_proxies": ("here",)}]
)
def test_settings_that_cannot_hold_end_the_start(wrong) -> None:
    with pytest.raises(ConfigError, match="rate_limits"):
        create_app(make_stack(**wrong))


async def test_a_line_break_in_the_path_slips_past_nothing() -> None:
    stack = make_stack(deny_without_redis=("GET /v1/collections",))
    stack.limiter._away = True
    async with client(stack) as http:
        assert (await http.get("/v1/collections")).status_code == 503
        for path in ("/v1/collections%0A", "/mcp%0A", "/metrics%0A", "/health/live%0A"):
            assert (await http.get(path)).status_code == 404, path


async def test_mcp_tools_are_refused_without_redis_as_their_routes_are() -> None:
    stack = make_stack(deny_without_redis=("DELETE /v1/documents/{id}",))
    stack.limiter._away = True
    call = {"name": "delete_document", "arguments": {"id": str(uuid4())}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    accept = {"Accept": "application/json, text/event-stream"}
    async with client(stack) as http:
        assert (await http.delete(f"/v1/documents/{uuid4()}")).status_code == 503
        answer = (await http.post("/mcp", json=message, headers=accept)).json()
    assert answer["result"]["isError"] is True
    assert "counted" in answer["result"]["content"][0]["text"]


async def test_an_endless_forwarded_for_is_read_from_its_end_only() -> None:
    proxies = Proxies(("127.0.0.0/8",))
    assert proxies.client("127.0.0.1", ["127.0.0.1," * 500_000 + "203.0.113.9"]) == "203.0.113.9"
