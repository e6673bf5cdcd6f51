"""Asks a collection over MCP with the official client: URL KEY_FILE COLLECTION QUESTION."""

import asyncio
import sys
from pathlib import Path

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def main(url: str, key_file: str, collection: str, question: str) -> None:
    key = Path(key_file).read_text().strip()
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        streamablehttp_client(url, headers=headers) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        tools = {tool.name for tool in (await session.list_tools()).tools}
        assert "search" in tools, tools
        answer = await session.call_tool("search", {"collection": collection, "query": question})
        assert not answer.isError, answer
        print(answer.structuredContent)


asyncio.run(main(*sys.argv[1:]))
