from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from api_fakes import client, fake_stack, refs, resolve
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from aistack.api.app import create_app

pytestmark = pytest.mark.anyio


def mcp_http(app: Any, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://localhost:8091",
        headers={"Authorization": f"Bearer {key}"},
    )


@asynccontextmanager
async def session(key: str, stack: Any = None) -> AsyncIterator[ClientSession]:
    app = create_app(stack or fake_stack())
    async with (
        app.router.lifespan_context(app),
        mcp_http(app, key) as http,
        streamable_http_client("http://localhost:8091/mcp", http_client=http) as (read, write, _),
        ClientSession(read, write) as opened,
    ):
        await opened.initialize()
        yield opened


async def test_mcp_lists_only_allowed_tools() -> None:
    async with session("read") as mcp:
        tools = (await mcp.list_tools()).tools
        assert [t.name for t in tools] == [
            "search",
            "get_document",
            "list_documents",
            "list_collections",
        ]
        for tool in tools:
            for schema in (tool.inputSchema, tool.outputSchema or {}):
                assert schema["type"] == "object"
                for ref in refs(schema):
                    resolve(schema, ref)
        denied = await mcp.call_tool("delete_document", {"id": str(uuid4())})
        assert denied.isError


async def test_mcp_calls() -> None:
    async with session("write") as mcp:
        put = await mcp.call_tool(
            "put_document", {"collection": "notes", "path": "a.md", "content": "0123456789"}
        )
        assert put.structuredContent is not None
        own = put.structuredContent["document"]["id"]
        part = await mcp.call_tool("get_document", {"id": own, "offset": 2, "limit": 3})
        assert part.structuredContent is not None
        assert (part.structuredContent["content"], part.structuredContent["next_offset"]) == (
            "234",
            5,
        )
        last = await mcp.call_tool("get_document", {"id": own, "offset": 5})
        assert last.structuredContent is not None
        assert last.structuredContent["next_offset"] is None
        found = await mcp.call_tool("search", {"query": "x", "collection": "notes"})
        assert isinstance(found.content[0], TextContent)
        assert "text of the hit" in found.content[0].text
        for name, given in (("list_documents", {"collection": "notes"}), ("list_collections", {})):
            assert not (await mcp.call_tool(name, given)).isError
        bad = await mcp.call_tool("search", {"query": "x", "collection": "notes", "limit": 0})
        assert bad.isError
        assert isinstance(bad.content[0], TextContent)
        assert "/limit" in bad.content[0].text
        assert len((await mcp.list_resource_templates()).resourceTemplates) == 1
        assert (await mcp.list_resources()).resources == []
        read = await mcp.read_resource(f"aistack://documents/{own}")  # type: ignore[arg-type]
        assert read.contents[0].text == "0123456789"  # type: ignore[union-attr]
        with pytest.raises(Exception, match="internal error"):
            await mcp.call_tool("search", {"query": "bug", "collection": "notes"})
        assert not (await mcp.call_tool("delete_document", {"id": own})).isError


async def test_mcp_refuses_foreign_host_and_origin_and_other_methods() -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    accept = {"Accept": "application/json, text/event-stream"}
    async with client() as c:
        assert (await c.post("/mcp", json=body, headers=accept)).status_code == 200
        for foreign, status in (
            ({"Host": "evil.example"}, 421),
            ({"Origin": "http://evil.example"}, 403),
        ):
            answer = await c.post("/mcp", json=body, headers={**accept, **foreign})
            assert answer.status_code == status
        assert (await c.get("/mcp", headers=accept)).status_code == 405
