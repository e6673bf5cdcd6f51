"""Calls of MCP's tools, unaware of the SDK; the plain ones are also read and answered here.

For each request the SDK makes a session with its streams and tasks, which takes as long as a
search does. Nearly all requests are a `tools/call` of one plain shape: `plain_call` knows it, and
`answer` writes what the SDK would. Whatever is not of that shape is the SDK's, which also says what
is wrong with it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct, field
from starlette.types import Scope as AsgiScope

from aistack.access.model import Principal
from aistack.api import problems
from aistack.api.endpoint import check_text
from aistack.api.limits import MCP_ROUTE, charge_tool
from aistack.api.mcp_tools import Tool, bounded
from aistack.api.query import count_refused
from aistack.errors import AistackError, InvalidError, NotFoundError
from aistack.kit import tracing
from aistack.knowledge.model import Query

if TYPE_CHECKING:
    from aistack.wiring import Stack

_log = logging.getLogger(__name__)
_INTERNAL_ERROR = -32603  # of JSON-RPC
_PLAIN_ID = re.compile(rb'-?[0-9]{1,15}|"[ !#-\[\]-~]{0,200}"')


class Outcome(Struct, frozen=True):
    """What came of a call."""

    text: str
    structured: bytes | None = None
    """The value as JSON; None: the call failed, and the text says why."""


class Calls:
    """Calls tools of one service."""

    def __init__(self, stack: Stack, tools: Iterable[Tool]) -> None:
        self._stack = stack
        self.tools = {tool.name: tool for tool in tools}

    async def call(
        self,
        name: str,
        arguments: dict[str, Any],
        principal: Principal,
        scope: AsgiScope | None,
        meta: Mapping[str, Any],
    ) -> Outcome:
        """Call a tool.

        Args:
            name: of the tool, as the client says it.
            arguments: as decoded from JSON.
            principal: who calls.
            scope: the ASGI scope of the POST; None: not over HTTP.
            meta: what the client sent beside the arguments; it may hold W3C's trace context.
        """
        shown = name if name in self.tools else "_OTHER"
        told = {"mcp.method.name": "tools/call", "gen_ai.tool.name": shown}
        with tracing.serve(f"tools/call {shown}", _carrier(meta), told) as span:
            try:
                return await self._call(self.tools.get(name), arguments, principal, scope)
            except AistackError as exc:
                span.fail("tool_error")
                where = f" (at {exc.pointer})" if exc.pointer else ""
                return Outcome(exc.detail + where)

    async def _call(
        self,
        tool: Tool | None,
        arguments: dict[str, Any],
        principal: Principal,
        scope: AsgiScope | None,
    ) -> Outcome:
        stack = self._stack
        await charge_tool(
            stack,
            scope,
            principal,
            writes=tool is not None and tool.scope != "read",
            route=tool.route if tool is not None and tool.route else MCP_ROUTE,
        )
        if tool is None or not principal.allows(tool.scope):
            raise NotFoundError("no such tool")
        try:
            check_text(arguments)
            wanted = _wanted(tool, arguments)
        except InvalidError as exc:
            if tool.input is Query:
                count_refused(stack, exc)
            raise
        answer = await tool.handler(stack, principal, wanted)
        # Twice the bound of a search's texts: its answer holds paths, titles and metadata too.
        limit = 2 * stack.settings.limits.result_bytes
        return Outcome(answer.text, bounded(answer.value, limit))


def _wanted(tool: Tool, arguments: dict[str, Any]) -> Any:
    try:
        return msgspec.convert(arguments, tool.input)
    except msgspec.ValidationError as exc:
        raise problems.from_validation(exc) from exc


def _carrier(meta: Mapping[str, Any]) -> dict[str, str]:
    """W3C's context, which a client may send beside the arguments of a call."""
    return {
        name: value
        for name in ("traceparent", "tracestate")
        if isinstance(value := meta.get(name), str)
    }


class _Params(Struct, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, Any] | None = None
    meta: dict[str, Any] | None = field(default=None, name="_meta")


class PlainCall(Struct, forbid_unknown_fields=True):
    """A `tools/call` of the shape that is answered here."""

    jsonrpc: Literal["2.0"]
    id: msgspec.Raw
    method: Literal["tools/call"]
    params: _Params


_decode = msgspec.json.Decoder(PlainCall).decode


def plain_call(body: bytes) -> PlainCall | None:
    """The call that a body is; None: it is another request, or one for the SDK to judge."""
    try:
        call = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    token = (call.params.meta or {}).get("progressToken")
    known = token is None or isinstance(token, str) or type(token) is int
    return call if known and _PLAIN_ID.fullmatch(bytes(call.id)) else None


async def answer(calls: Calls, call: PlainCall, principal: Principal, scope: AsgiScope) -> bytes:
    """The JSON-RPC message that answers a plain call."""
    params = call.params
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": call.id}
    try:
        outcome = await calls.call(
            params.name, params.arguments or {}, principal, scope, params.meta or {}
        )
    except Exception:  # noqa: BLE001 - its text is for the log alone
        _log.exception("unexpected error")
        message["error"] = {"code": _INTERNAL_ERROR, "message": "internal error"}
        return msgspec.json.encode(message)
    result: dict[str, Any] = {"content": [{"type": "text", "text": outcome.text}]}
    if outcome.structured is not None:
        result["structuredContent"] = msgspec.Raw(outcome.structured)
    result["isError"] = outcome.structured is None
    message["result"] = result
    return msgspec.json.encode(message)
