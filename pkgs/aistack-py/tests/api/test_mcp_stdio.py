"""MCP over stdio as a client program starts it: the official client, a process, real stores."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from aistack.access.model import LOCAL_OPERATOR
from aistack.knowledge.model import NewDocument
from aistack.settings.schema import Settings
from aistack.wiring import open_stack

pytestmark = pytest.mark.anyio
READING = {"search", "get_document", "list_documents", "list_collections"}


@pytest.fixture
async def config(settings: Settings, tmp_path: Path) -> Path:
    """A settings file for stores that hold one indexed document."""
    async with open_stack(settings, index=False) as stack:
        source = b"# Limits\n\nlimit_req_zone bounds the request rate."
        new = NewDocument(path="limits.md", source=source)
        await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new)
        await stack.indexer.drain()
    qdrant = settings.qdrant
    where = f"url = {json.dumps(qdrant.url)}" if qdrant.url else f"path = {json.dumps(qdrant.path)}"
    path = tmp_path / "config.toml"
    path.write_text(
        f"[postgres]\ndsn = {json.dumps(settings.postgres.dsn)}\n"
        f"[qdrant]\n{where}\nprefix = {json.dumps(qdrant.prefix)}\n"
    )
    return path


@asynccontextmanager
async def session(config: Path, *options: str) -> AsyncIterator[ClientSession]:
    arguments = ["-m", "aistack", "--config", str(config), "mcp", *options]
    parameters = StdioServerParameters(
        command=sys.executable, args=arguments, env=dict(os.environ), cwd=config.parent
    )
    with (config.parent / "stderr").open("w") as errors:
        async with (
            stdio_client(parameters, errlog=errors) as (read, write),
            ClientSession(read, write) as opened,
        ):
            about = await opened.initialize()
            assert about.serverInfo.name == "aistack"
            yield opened


async def test_a_client_lists_tools_and_finds_a_passage(config: Path) -> None:
    async with session(config) as mcp:
        assert {tool.name for tool in (await mcp.list_tools()).tools} == READING
        query = {"query": "request rate", "collection": "nixos_docs"}
        found = await mcp.call_tool("search", query)
        assert found.structuredContent is not None
        hit = found.structuredContent["hits"][0]
        assert (hit["path"], found.isError) == ("limits.md", False)
        read = await mcp.call_tool("get_document", {"id": hit["document_id"]})
        assert read.structuredContent is not None
        assert "limit_req_zone" in read.structuredContent["content"]
        denied = await mcp.call_tool("delete_document", {"id": hit["document_id"]})
        assert denied.isError
        missing = await mcp.call_tool("search", query | {"collection": "none"})
        assert missing.isError
    assert "Traceback" not in (config.parent / "stderr").read_text()


async def test_with_write_a_client_may_change_documents(config: Path) -> None:
    async with session(config, "--write") as mcp:
        tools = {tool.name for tool in (await mcp.list_tools()).tools}
        assert tools == READING | {"put_document", "delete_document"}
        new = {"collection": "nixos_docs", "path": "new.md", "content": "# New\n\nfresh words"}
        put = await mcp.call_tool("put_document", new)
        assert put.structuredContent is not None
        assert put.structuredContent["outcome"] == "created"
