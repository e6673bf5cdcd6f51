"""The coordinator as its clients see it: HTTP and MCP, with the guards of AIDB."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent
from msgspec import structs
from toy import ANSWER, QUESTION, rows, tell

from aistack.access.model import Scope
from aistack.api.app import all_endpoints, create_app
from aistack.coordinator.model import COLLECTION, Example
from aistack.errors import ConfigError
from aistack.settings.schema import RateLimits
from aistack.wiring import Stack

pytestmark = pytest.mark.anyio

BASE = "http://localhost:8092"
BODY = {"question": QUESTION, "response": ANSWER, "tags": ["nginx"]}


@asynccontextmanager
async def http(
    stack: Stack, scope: Scope | None = "admin", collections: list[str] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    headers = {}
    if scope is not None:
        new = await stack.keys.create(
            name="test", scopes=[scope], collections=collections, per_minute=10**6, per_hour=10**8
        )
        headers = {"Authorization": f"Bearer {new.key}"}
    app = create_app(stack, "coordinator")
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        stack.health.running(),
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers) as client,
    ):
        yield client


@asynccontextmanager
async def mcp(stack: Stack, scope: Scope = "admin") -> AsyncIterator[ClientSession]:
    async with (
        http(stack, scope) as client,
        streamable_http_client(BASE + "/mcp", http_client=client) as (read, write, _),
        ClientSession(read, write) as opened,
    ):
        await opened.initialize()
        yield opened


async def test_a_round_of_learning(stack: Stack) -> None:
    async with http(stack, "write") as client:
        made = await client.post("/v1/interactions", json=BODY | {"idempotency_key": "k"})
        assert made.status_code == 201
        place = made.headers["location"]
        assert (await client.get(place)).json() == made.json()
        again = await client.post("/v1/interactions", json=BODY | {"idempotency_key": "k"})
        assert (again.status_code, again.json()) == (200, made.json())
        other = BODY | {"idempotency_key": "k", "response": "something else"}
        assert (await client.post("/v1/interactions", json=other)).status_code == 409
        judged = await client.post(f"{place}/outcome", json={"outcome": "success", "feedback": 1})
        assert judged.status_code == 200
        solution = judged.json()["solution_id"]
        await stack.indexer.drain()
        listed = (await client.get("/v1/solutions?tag=nginx")).json()
        assert [one["id"] for one in listed["solutions"]] == [solution]
        found = (await client.get(f"/v1/solutions/{solution}")).json()
        assert found["answer"] == ANSWER
        assert (await client.post(f"/v1/solutions/{solution}/pin")).json()["pinned"] is True
        assert (await client.delete(f"/v1/solutions/{solution}/pin")).json()["pinned"] is False
        context = await client.post("/v1/augment", json={"question": QUESTION})
        assert context.json()["sources"][0]["id"] == solution
        assert context.json()["route"]["target"] == "local"
        stats = (await client.get("/v1/stats")).json()
        assert stats["solutions"]["total"] == stats["interactions"]["total"] == 1
        assert (await client.get("/v1/training-data")).status_code == 403
    async with http(stack) as client:
        data = await client.get("/v1/training-data?min_value=0.5&since=2020-01-01T00:00:00Z")
        assert data.headers["content-type"].startswith("application/jsonl")
        (line,) = data.text.splitlines()
        assert msgspec.json.decode(line, type=Example).messages[1].content == ANSWER
        metrics = (await client.get("/metrics")).text
        for expected in (
            "coordinator_interactions_total 1.0",
            'coordinator_outcomes_total{outcome="success"} 1.0',
            'coordinator_lessons_total{result="created"} 1.0',
            'coordinator_augmentations_total{target="local"} 1.0',
            "coordinator_context_tokens_count 1.0",
        ):
            assert expected in metrics


async def test_the_guards_are_those_of_aidb(stack: Stack) -> None:
    async with http(stack, None) as client:
        assert (await client.get("/health/live")).json() == {"status": "ok"}
        assert (await client.get("/health/ready")).status_code == 200
        for endpoint in all_endpoints("coordinator"):
            if endpoint.scope is not None:
                path = endpoint.path.replace("{id:uuid}", str(uuid4()))
                answer = await client.request(endpoint.method, path)
                assert answer.status_code == 401, path
                assert answer.headers["content-type"] == "application/problem+json"
        assert (await client.post("/mcp", json={})).status_code == 401
    async with http(stack, "read") as client:
        for path in ("/v1/interactions", f"/v1/interactions/{uuid4()}/outcome"):
            assert (await client.post(path, json=BODY)).status_code == 403
        assert (await client.post(f"/v1/solutions/{uuid4()}/pin")).status_code == 403
        assert (await client.post("/v1/query", json={})).status_code == 404, "that is AIDB's"
        assert (await client.get("/v1/training-data")).status_code == 403
        wrong = await client.post("/v1/augment", json={"question": "x", "budget": 9})
        assert wrong.json()["errors"][0]["pointer"] == "/budget"
        assert (await client.get("/v1/solutions?cursor=abc")).status_code == 400
    async with http(stack, "write") as client:
        big = BODY | {"response": "x" * 600_000}
        assert (await client.post("/v1/interactions", json=big)).status_code == 413
        secret = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEA" * 20
        answer = await client.post("/v1/interactions", json=BODY | {"response": secret})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/response")
        assert (await client.get(f"/v1/interactions/{uuid4()}")).status_code == 404


async def test_a_key_without_the_collection_sees_no_solutions(stack: Stack) -> None:
    made = await tell(stack)
    async with http(stack, "admin", ["nixos_docs"]) as client:
        assert (await client.get("/v1/solutions")).json()["solutions"] == []
        assert (await client.get(f"/v1/solutions/{made.solution_id}")).status_code == 404
        assert (await client.post(f"/v1/solutions/{made.solution_id}/pin")).status_code == 404
        context = await client.post("/v1/augment", json={"question": QUESTION})
        assert context.json()["sources"] == []
        refused = {"question": QUESTION, "collections": [COLLECTION]}
        assert (await client.post("/v1/augment", json=refused)).status_code == 404
        assert (await client.get("/v1/stats")).json()["solutions"] is None
        assert (await client.get("/v1/training-data")).text == ""


async def test_settings_may_name_the_routes_of_either_service(stack: Stack) -> None:
    for service in ("aidb", "coordinator"):
        for route, known in (
            ("POST /v1/augment", True),
            ("DELETE /v1/documents/{id}", True),
            ("POST /v1/solutions/{id}/pin", True),
            ("POST /v1/guess", False),
        ):
            limits = RateLimits(deny_without_redis=(route,))
            settings = structs.replace(stack.settings, rate_limits=limits)
            own = replace(stack, settings=settings)
            if known:
                create_app(own, service)  # type: ignore[arg-type]
            else:
                with pytest.raises(ConfigError):
                    create_app(own, service)  # type: ignore[arg-type]


READ_ONLY = {
    "get_interaction", "list_solutions", "get_solution", "get_stats", "get_training_data",
}  # fmt: skip


async def test_tools_for_each_and_their_hints_are_true(stack: Stack) -> None:
    made = await tell(stack)
    own, solution = {"id": str(made.id)}, {"id": str(made.solution_id)}
    calls: dict[str, dict[str, Any]] = {
        "augment_query": {"question": QUESTION},
        "record_interaction": BODY | {"outcome": "partial"},
        "set_outcome": own | {"outcome": "success", "feedback": 0.5},
        "get_interaction": own,
        "list_solutions": {},
        "get_solution": solution,
        "pin_solution": solution,
        "unpin_solution": solution,
        "get_stats": {},
        "get_training_data": {"limit": 5},
    }
    async with mcp(stack) as session:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert set(tools) == set(calls)
        assert {n for n, t in tools.items() if t.annotations.readOnlyHint} == READ_ONLY  # type: ignore[union-attr]
        for name, given in calls.items():
            before = await state(stack)
            done = await session.call_tool(name, given)
            assert not done.isError, done.content
            await stack.coordinator.uses.flush()
            changed = await state(stack) != before
            assert changed is (name not in READ_ONLY), name
            hints = tools[name].annotations
            assert hints is not None
            if hints.idempotentHint and changed:
                before = await state(stack)
                await session.call_tool(name, given)
                assert await state(stack) == before, name
        unknown = await session.call_tool("search", {"query": "x", "collection": COLLECTION})
        assert unknown.isError
        told = await session.call_tool("augment_query", {"question": QUESTION})
        assert isinstance(told.content[0], TextContent)
        assert ANSWER in told.content[0].text
    async with mcp(stack, "read") as session:
        names = {tool.name for tool in (await session.list_tools()).tools}
        assert names == (READ_ONLY | {"augment_query"}) - {"get_training_data"}


async def state(stack: Stack) -> list[Any]:
    return [
        await rows(stack, f"select * from {table} order by id")  # noqa: S608 - our own names
        for table in ("interactions", "solutions", "documents")
    ]
