"""MCP over streamable HTTP and stdio: the one file that knows the official SDK."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import msgspec
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import MCP_PROTOCOL_VERSION_HEADER
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.shared.exceptions import McpError
from mcp.shared.version import SUPPORTED_PROTOCOL_VERSIONS
from mcp.types import DEFAULT_NEGOTIATED_VERSION
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope as AsgiScope, Send

import aistack
from aistack.access.model import Principal
from aistack.api.endpoint import PRINCIPAL, ROUTE
from aistack.api.mcp_calls import Calls, Outcome, answer, plain_call
from aistack.api.mcp_tools import Tool, document_part, schema
from aistack.errors import AistackError, InvalidError, NotFoundError, UnauthenticatedError
from aistack.settings.schema import Server as ServerSettings

if TYPE_CHECKING:
    from aistack.api.services import Service
    from aistack.wiring import Stack

PATH = "/mcp"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PREFIX = "aistack://documents/"
_NOT_FOUND = -32002  # "Resource not found" of the MCP specification
_DEEPEST = 64
"""Levels of nesting that a message may have."""
_log = logging.getLogger(__name__)
R = TypeVar("R")


class Mounted:
    """The /mcp route, and the session manager behind it while `run` is entered."""

    def __init__(self, stack: Stack, service: Service) -> None:
        self._stack = stack
        self._service = service
        self._calls = Calls(stack, service.tools)
        self._security = security(service.server(stack.settings))
        self._headers = TransportSecurityMiddleware(self._security)
        self._manager: StreamableHTTPSessionManager | None = None
        # POST alone: without sessions there is nothing to stream by GET or to DELETE.
        self.route = Route(PATH, self, methods=["POST"], name="mcp")

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Serve until the context ends; a new manager each time, as the SDK wants."""
        manager = StreamableHTTPSessionManager(
            _server(self._stack, self._service, self._calls, None),
            json_response=True,
            stateless=True,
            security_settings=self._security,
        )
        async with manager.run():
            self._manager = manager
            try:
                yield
            finally:
                self._manager = None

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope[ROUTE] = PATH
        if self._manager is None:
            msg = "the app's lifespan has not been entered"
            raise RuntimeError(msg)
        request = Request(scope, receive)
        body = await request.body()
        if not _readable(body):
            await _unreadable()(scope, receive, send)
            return
        principal, call = scope.get(PRINCIPAL), plain_call(body)
        if call is None or principal is None or not await self._takes(request):
            await self._manager.handle_request(scope, _again(body, receive), send)
            return
        message = await answer(self._calls, call, principal, scope)
        await Response(message, media_type="application/json")(scope, receive, send)

    async def _takes(self, request: Request) -> bool:
        """Whether the SDK would take a request with these headers."""
        of = request.headers
        return (
            of.get("content-type", "").partition(";")[0].strip() == "application/json"
            and any(
                part.strip().startswith("application/json")
                for part in of.get("accept", "").split(",")
            )
            and of.get(MCP_PROTOCOL_VERSION_HEADER, DEFAULT_NEGOTIATED_VERSION)
            in SUPPORTED_PROTOCOL_VERSIONS
            and await self._headers.validate_request(request, is_post=True) is None
        )


def _readable(body: bytes) -> bool:
    """Whether a body is JSON of a sensible depth; deep nesting would be an error 500 of the SDK."""
    try:
        level = [msgspec.json.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    for _ in range(_DEEPEST):
        nodes = (node for node in level if isinstance(node, (dict, list)))
        level = [
            part for node in nodes for part in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return True
    return False


def _unreadable() -> Response:
    error = {"code": types.PARSE_ERROR, "message": "the body is not JSON, or nested too deeply"}
    value = {"jsonrpc": "2.0", "id": None, "error": error}
    return Response(msgspec.json.encode(value), 400, media_type="application/json")


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read once more, then whatever else comes."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def run_stdio(stack: Stack, service: Service, principal: Principal) -> None:
    """Serve one client over standard input and output, on behalf of the principal."""
    server = _server(stack, service, Calls(stack, service.tools), principal)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def security(settings: ServerSettings) -> TransportSecuritySettings:
    """Which Host and Origin headers are taken: loopback ones and the configured ones."""
    hosts = [*LOOPBACK, *settings.allowed_hosts]
    origins = [f"http://{host}" for host in LOOPBACK] + list(settings.allowed_origins)
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[*hosts, *(f"{host}:*" for host in hosts)],
        allowed_origins=[*origins, *(f"http://{host}:*" for host in LOOPBACK)],
    )


def _server(
    stack: Stack, service: Service, calls: Calls, fixed: Principal | None
) -> Server[Any, Any]:
    server: Server[Any, Any] = Server(
        "aistack", version=aistack.__version__, instructions=service.instructions
    )
    own = _Handlers(stack, calls, server, fixed)
    # Set by hand: the SDK's decorators are untyped and would check all schemas a second time.
    server.request_handlers.update(
        {
            types.ListToolsRequest: _answering(own.list_tools),
            types.CallToolRequest: _answering(own.call_tool),
            types.ListResourcesRequest: _answering(own.list_resources),
            types.ListResourceTemplatesRequest: _answering(own.list_templates),
            types.ReadResourceRequest: _answering(own.read_resource),
        }
    )
    return server


class _Handlers:
    """What each MCP request does; the caller is a fixed one, or the HTTP request's."""

    def __init__(
        self,
        stack: Stack,
        calls: Calls,
        server: Server[Any, Any],
        fixed: Principal | None,
    ) -> None:
        self._stack = stack
        self._calls = calls
        self._server = server
        self._fixed = fixed

    def _caller(self) -> Principal:
        if self._fixed is not None:
            return self._fixed
        request = self._server.request_context.request
        principal = request.scope.get(PRINCIPAL) if request is not None else None
        if not isinstance(principal, Principal):
            raise UnauthenticatedError("no valid API key")
        return principal

    async def list_tools(self, _request: types.ListToolsRequest) -> types.ListToolsResult:
        principal = self._caller()
        return types.ListToolsResult(
            tools=[
                described(tool)
                for tool in self._calls.tools.values()
                if principal.allows(tool.scope)
            ]
        )

    async def call_tool(self, request: types.CallToolRequest) -> types.CallToolResult:
        try:
            principal = self._caller()
        except UnauthenticatedError as exc:
            return _result(Outcome(exc.detail))
        params, asked = (
            request.params,
            None if self._fixed else self._server.request_context.request,
        )
        meta = (params.meta.model_extra if params.meta is not None else None) or {}
        scope = asked.scope if asked else None
        return _result(
            await self._calls.call(params.name, params.arguments or {}, principal, scope, meta)
        )

    async def list_resources(
        self, _request: types.ListResourcesRequest
    ) -> types.ListResourcesResult:
        return types.ListResourcesResult(resources=[])  # found by tools, read by the template

    async def list_templates(
        self,
        _request: types.ListResourceTemplatesRequest,
    ) -> types.ListResourceTemplatesResult:
        template = types.ResourceTemplate(
            uriTemplate=_PREFIX + "{id}",
            name="document",
            title="A document's text",
            mimeType="text/plain",
        )
        return types.ListResourceTemplatesResult(resourceTemplates=[template])

    async def read_resource(self, request: types.ReadResourceRequest) -> types.ReadResourceResult:
        principal = self._caller()
        principal.require("read")
        try:
            identity = UUID(str(request.params.uri).removeprefix(_PREFIX))
        except ValueError as exc:
            raise NotFoundError("no such resource") from exc
        document = await self._stack.documents.get(principal, identity)
        bound = self._stack.settings.limits.result_bytes
        part = document_part(document, 0, bound, bound)
        text = part.content
        if part.next_offset is not None:
            text += f"\n\n[cut off; go on with get_document at offset {part.next_offset}]"
        content = types.TextResourceContents(
            uri=request.params.uri, mimeType="text/plain", text=text
        )
        return types.ReadResourceResult(contents=[content])


def _result(outcome: Outcome) -> types.CallToolResult:
    raw = outcome.structured
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=outcome.text)],
        structuredContent=None if raw is None else msgspec.json.decode(raw),
        isError=raw is None,
    )


def described(tool: Tool) -> types.Tool:
    """The tool as MCP lists it."""
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.text,
        inputSchema=schema(tool.input),
        outputSchema=schema(tool.output),
        annotations=types.ToolAnnotations(
            readOnlyHint=tool.read_only,
            destructiveHint=(not tool.read_only if tool.destructive is None else tool.destructive),
            idempotentHint=tool.idempotent,
            openWorldHint=False,
        ),
    )


def _answering(
    handler: Callable[[R], Awaitable[types.ServerResultType]],
) -> Callable[[R], Awaitable[types.ServerResult]]:
    """Wraps a handler so that the SDK never tells a client the text of an unexpected error."""

    async def answer(request: R) -> types.ServerResult:
        try:
            return types.ServerResult(await handler(request))
        except AistackError as exc:
            code = types.INTERNAL_ERROR
            if isinstance(exc, NotFoundError):
                code = _NOT_FOUND
            elif isinstance(exc, InvalidError):
                code = types.INVALID_PARAMS
            raise McpError(types.ErrorData(code=code, message=exc.detail)) from exc
        except Exception as exc:
            _log.exception("unexpected error")
            raise McpError(
                types.ErrorData(code=types.INTERNAL_ERROR, message="internal error")
            ) from exc

    return answer
