"""Plain calls are answered without the SDK, and as the SDK answers them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from api_fakes import client
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from aistack.api import mcp

pytestmark = pytest.mark.anyio

ACCEPT = {"Accept": "application/json, text/event-stream"}
SEARCH = {"name": "search", "arguments": {"query": "x", "collection": "notes"}}


def call(params: Any = SEARCH, **fields: Any) -> bytes:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return json.dumps(message | fields).encode()


PLAIN = {
    "a search": call(),
    "an id of text": call(id="a 'b'"),
    "the largest id": call(id=10**15 - 1),
    "no arguments": call({"name": "list_collections"}),
    "arguments of null": call({"name": "list_collections", "arguments": None}),
    "what is beside them": call(SEARCH | {"_meta": {"progressToken": 7, "more": [1]}}),
    "an unknown tool": call({"name": "nothing", "arguments": {}}),
    "a forbidden tool": call({"name": "delete_document", "arguments": {"id": "x"}}),
    "a wrong argument": call({"name": "search", "arguments": {"query": "x", "limit": 0}}),
    "a NUL": call({"name": "search", "arguments": {"query": "\0", "collection": "notes"}}),
    "an unexpected error": call(
        {"name": "search", "arguments": {"query": "bug", "collection": "notes"}}
    ),
}
OTHERS = {
    "another method": b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}',
    "a notification": b'{"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "search"}}',
    "another version": call(jsonrpc="1.0"),
    "an id of null": call(id=None),
    "an id with a fraction": call(id=1.5),
    "an id that is true": call(id=True),
    "an escaped id": call(id='a"\u00e9'),
    "no name": call({}),
    "no parameters": call(None),
    "unknown parameters": call(SEARCH | {"task": {"ttl": 1}}),
    "more than a message": call(result={}),
    "a wrong token": call(SEARCH | {"_meta": {"progressToken": []}}),
    "two messages": b"[" + call() + b"]",
    "no message": b"1",
}
HEADERS: dict[str, dict[str, str]] = {
    "another media type": {"Content-Type": "text/plain"},
    "a charset": {"Content-Type": "application/json; charset=utf-8"},
    "a longer media type": {"Content-Type": "application/json-patch"},
    "no JSON wanted": {"Accept": "text/event-stream"},
    "anything wanted": {"Accept": "*/*"},
    "JSON alone wanted": {"Accept": "application/json"},
    "an old revision": {"MCP-Protocol-Version": "2025-03-26"},
    "an unknown revision": {"MCP-Protocol-Version": "1999-01-01"},
    "a session": {"Mcp-Session-Id": "whatever"},
    "a foreign host": {"Host": "evil.example"},
    "a foreign origin": {"Origin": "http://evil.example"},
    "an origin of ours": {"Origin": "http://localhost:3000"},
}


_UUID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Counted:
    """Counts the requests that reach the SDK."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests = 0
        handle = StreamableHTTPSessionManager.handle_request

        async def counted(manager: Any, *args: Any) -> None:
            self.requests += 1
            await handle(manager, *args)

        monkeypatch.setattr(StreamableHTTPSessionManager, "handle_request", counted)


async def both(
    monkeypatch: pytest.MonkeyPatch, body: bytes, headers: dict[str, str], key: str = "read"
) -> bool:
    """Whether the request was answered without the SDK; asks it too, and compares."""
    seen = Counted(monkeypatch)
    sent = {"Content-Type": "application/json"} | ACCEPT | headers
    async with client(key) as c:
        ours = await c.post("/mcp", content=body, headers=sent)
        plain = seen.requests == 0
        monkeypatch.setattr(mcp, "plain_call", lambda _body: None)
        theirs = await c.post("/mcp", content=body, headers=sent)
    assert ours.status_code == theirs.status_code
    assert ours.headers.get("content-type") == theirs.headers.get("content-type")
    assert _told(ours.content) == _told(theirs.content)
    return plain


def _told(content: bytes) -> Any:
    content = _UUID.sub(b"-", content)  # the stack of the tests makes them up
    try:
        return json.loads(content)
    except ValueError:
        return content


@pytest.mark.parametrize("name", PLAIN)
async def test_plain_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert await both(monkeypatch, PLAIN[name], {})


@pytest.mark.parametrize("name", OTHERS)
async def test_what_the_sdk_judges(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert not await both(monkeypatch, OTHERS[name], {})


@pytest.mark.parametrize("name", HEADERS)
async def test_headers(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    await both(monkeypatch, PLAIN["a search"], HEADERS[name])


async def test_a_writer_is_answered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    put = {"collection": "notes", "path": "a.md", "content": "0123456789", "title": 5}
    params = {"name": "put_document", "arguments": put}
    assert await both(monkeypatch, call(params), {}, key="write")
