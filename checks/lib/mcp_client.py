"""Calls a tool over MCP with the official client: URL KEY_FILE TOOL ARGUMENTS (JSON)."""

import asyncio
import json
import sys
from pathlib import Path

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def main(url: str, key_file: str, tool: str, arguments: str) -> None:
    """Print what the tool answers, as JSON."""
    key = Path(key_file).read_text().strip()
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        streamablehttp_client(url, headers=headers) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        tools = {found.name for found in (await session.list_tools()).tools}
        assert tool in tools, tools
        answer = await session.call_tool(tool, json.loads(arguments))
        assert not answer.isError, answer
        print(json.dumps(answer.structuredContent))


asyncio.run(main(*sys.argv[1:]))
