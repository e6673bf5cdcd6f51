"""Traces: real parts, a collector in the test, and nothing in a span that somebody wrote."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from collector import attributes, collecting
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client

from aistack.access.model import LOCAL_OPERATOR
from aistack.api.app import create_app
from aistack.errors import ConfigError
from aistack.kit import tracing
from aistack.kit.logs import JsonFormatter
from aistack.knowledge.model import NewDocument
from aistack.monitoring.tracing import traced
from aistack.settings.load import parse
from aistack.settings.schema import Redis, Settings, Tracing
from aistack.wiring import Stack, open_stack

pytestmark = pytest.mark.anyio

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
SECRET = "the words that I alone know"


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, Stack]]:
    """AIDB with one document that is searchable."""
    async with open_stack(settings, index=False) as stack:
        await stack.documents.put(
            LOCAL_OPERATOR, "nixos_docs", NewDocument(path="a.md", source=SECRET.encode())
        )
        await stack.indexer.drain()
        app = create_app(stack)
        key = await stack.keys.create(name="test", scopes=["write"])
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app),
                base_url="http://localhost:8091",
                headers={"X-API-Key": key.key},
            ) as client,
        ):
            yield client, stack


@pytest.fixture
def traced_settings(settings: Settings, redis_server: str) -> Settings:
    return msgspec.structs.replace(settings, redis=Redis(url=redis_server))


QUESTION = {"collection": "nixos_docs", "query": SECRET}


async def test_a_search_is_one_trace_down_to_the_stores(traced_settings: Settings) -> None:
    with collecting() as collector:
        with traced(Tracing(endpoint=collector.url), "aidb"):
            async with serving(traced_settings) as (client, _stack):
                answer = await client.post(
                    "/v1/query", json=QUESTION, headers={"traceparent": PARENT}
                )
                assert answer.json()["hits"], answer.text
                await client.get("/health/live")
                await client.get("/metrics")
        request = collector.named("POST /v1/query")
        assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, SPAN)
        told = attributes(request)
        assert told["http.response.status_code"] == 200
        assert told["http.route"] == "/v1/query"
        assert told["aistack.request_id"] == answer.headers["x-request-id"]
        below = collector.below(request)
        assert {"postgresql SELECT", "redis EVALSHA"} <= below, below
        assert any(name.startswith("qdrant Vectors.") for name in below), below
        assert collector.services == {"aistack-aidb"}
        # What works in the background, health and metrics are not among them.
        assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
        assert SECRET.encode() not in b"".join(s.SerializeToString() for s in collector.spans)
    assert not tracing.on()


async def test_an_error_is_told_by_its_kind_alone(traced_settings: Settings) -> None:
    with collecting() as collector:
        with traced(Tracing(endpoint=collector.url), "aidb"):
            async with open_stack(traced_settings, index=False) as stack:
                with tracing.serve("outer", {}, {}), pytest.raises(Exception, match="hidden"):
                    await stack.postgres.fetch("select %(a)s::text::int", {"a": "hidden"})
        failed = collector.named("postgresql SELECT")
        assert attributes(failed)["error.type"] == "InvalidTextRepresentation"
        assert attributes(failed)["db.query.text"] == "select %(a)s::text::int"
        assert failed.status.code == 2
        assert b"hidden" not in failed.SerializeToString()


async def test_an_mcp_call_goes_on_with_its_clients_trace(traced_settings: Settings) -> None:
    with collecting() as collector:
        with traced(Tracing(endpoint=collector.url), "aidb"):
            async with serving(traced_settings) as (client, _stack):
                await call_tool(client, "search", QUESTION)
                await call_tool(client, "no such tool", {})
        call = collector.named("tools/call search")
        assert (call.trace_id.hex(), call.parent_span_id.hex()) == (TRACE, SPAN)
        below = collector.below(call) | {
            name
            for child in collector.spans
            if child.parent_span_id == call.span_id
            for name in collector.below(child)
        }
        assert "postgresql SELECT" in below, below
        assert any(name.startswith("qdrant Vectors.") for name in below), below
        other = collector.named("tools/call _OTHER")
        assert attributes(other)["error.type"] == "tool_error"


async def call_tool(client: httpx.AsyncClient, name: str, arguments: dict[str, object]) -> None:
    async with (
        streamable_http_client("http://localhost:8091/mcp", http_client=client) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        params = types.CallToolRequestParams.model_validate(
            {"name": name, "arguments": arguments, "_meta": {"traceparent": PARENT}}
        )
        await session.send_request(
            types.ClientRequest(types.CallToolRequest(params=params)), types.CallToolResult
        )


async def test_the_ratio_holds_whatever_the_client_says(traced_settings: Settings) -> None:
    with collecting() as collector:
        with traced(Tracing(endpoint=collector.url, sample_ratio=0.0), "aidb"):
            async with serving(traced_settings) as (client, _stack):
                answer = await client.post(
                    "/v1/query", json=QUESTION, headers={"traceparent": PARENT}
                )
                assert answer.status_code == 200
        assert not collector.spans


@pytest.mark.parametrize("wrong", ["", "00-zz-00-01", "99" * 200, f"00-{'0' * 32}-{SPAN}-01"])
async def test_a_wrong_context_begins_a_new_trace(traced_settings: Settings, wrong: str) -> None:
    with collecting() as collector:
        with traced(Tracing(endpoint=collector.url), "aidb"):
            async with serving(traced_settings) as (client, _stack):
                answer = await client.get("/v1/collections", headers={"traceparent": wrong})
                assert answer.status_code == 200
        request = collector.named("GET /v1/collections")
        assert not request.parent_span_id


async def test_a_collector_that_is_away_costs_no_answer(
    traced_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        with traced(Tracing(endpoint="http://127.0.0.1:9"), "aidb"):
            async with serving(traced_settings) as (client, _stack):
                answer = await client.post("/v1/query", json=QUESTION)
                assert answer.status_code == 200
            start = time.monotonic()
        assert time.monotonic() - start < 15, "the stop waits for a collector"
    assert "opentelemetry" not in caplog.text


def test_the_collectors_headers_are_a_secret_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("X-Key: hunter2\n\nX-Tenant: me\n")
    with collecting() as collector:
        with (
            traced(Tracing(endpoint=collector.url, headers_file=str(file)), "aidb"),
            tracing.serve("x", {}, {}),
        ):
            pass
        (headers,) = collector.headers
        assert (headers["X-Key"], headers["X-Tenant"]) == ("hunter2", "me")
    file.write_text("hunter2\n")
    with pytest.raises(ConfigError, match="headers_file") as error:
        traced(Tracing(endpoint="http://x", headers_file=str(file)), "aidb")
    assert "hunter2" not in str(error.value)


def test_an_endpoint_is_a_url() -> None:
    with pytest.raises(ConfigError, match=r"tracing\.endpoint"):
        parse({"tracing": {"endpoint": "localhost:4318"}, "qdrant": {"url": "http://q"}})


def test_logs_name_the_trace() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "hello", None, None)
    with (
        collecting() as collector,
        traced(Tracing(endpoint=collector.url), "aidb"),
        tracing.serve("x", {"traceparent": PARENT}, {}),
    ):
        assert json.loads(JsonFormatter().format(record))["trace_id"] == TRACE
    assert "trace_id" not in json.loads(JsonFormatter().format(record))


def test_who_does_not_trace_does_not_load_it() -> None:
    program = (
        "import sys, aistack.cli.serve, aistack.api.app\n"
        "from aistack.kit import tracing\n"
        "with tracing.call('x', {}) as span: span.put({'a': 1})\n"
        "sys.exit(any(name.startswith('opentelemetry.exporter') for name in sys.modules))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
