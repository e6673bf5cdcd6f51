"""Puts the HTTP edge together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Router

from aistack.access.model import Principal
from aistack.api import docs_page, limits, mcp, openapi, problems
from aistack.api.console.app import Console
from aistack.api.endpoint import Call, Endpoint, Reply
from aistack.api.guards import guards
from aistack.api.services import SERVICES, ServiceName
from aistack.errors import AistackError

if TYPE_CHECKING:
    from aistack.wiring import Stack


class App(Starlette):
    """The ASGI app of a service, which may have a console."""

    console: Console | None = None

    def stopping(self) -> None:
        """Let streams end: the server is about to wait for all that it answers."""
        if self.console is not None:
            self.console.streams.end()


def create_app(stack: Stack, service: ServiceName = "aidb") -> App:
    """The ASGI app of a service of an open stack; opening and closing that is the caller's."""
    endpoints = all_endpoints(service)
    mounted = mcp.Mounted(stack, SERVICES[service])
    verify = limits.verifier(stack.keys.verify, stack.limiter)
    has_console = service == "aidb" and stack.settings.aidb.console
    console = Console(stack, verify) if has_console else None

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as resources:
            await resources.enter_async_context(mounted.run())
            if console is not None:
                await resources.enter_async_context(console.running())
            yield

    app = App(
        routes=[*(endpoint.route(stack) for endpoint in endpoints), mounted.route],
        middleware=guards(
            verify,
            stack.settings.limits.body_bytes,
            stack.metrics,
            stack.limiter,
            limits.Routes(endpoints, stack.settings.rate_limits, elsewhere=_elsewhere(service)),
            console,
        ),
        exception_handlers={AistackError: problems.handle, HTTPException: problems.handle},
        lifespan=lifespan,
    )
    app.console = console
    _no_redirects(app.router)
    return app


def all_endpoints(service: ServiceName = "aidb") -> tuple[Endpoint, ...]:
    """Every operation of a service but MCP's, with the two that describe them."""
    described: dict[str, Any] = {}

    async def get_openapi(_stack: Stack, _principal: Principal, _call: Call) -> dict[str, Any]:
        return described

    async def get_docs(_stack: Stack, _principal: Principal, _call: Call) -> Reply:
        return Reply(page)

    endpoints = (
        *SERVICES[service].endpoints,
        Endpoint(
            method="GET", path="/openapi.json", handler=get_openapi, scope="read",
            tags=("description",), summary="This description", response=dict[str, Any],
        ),
        Endpoint(
            method="GET", path="/docs", handler=get_docs, scope="read", tags=("description",),
            summary="This description for people", response=str, media_type="text/html",
        ),
    )  # fmt: skip
    described.update(openapi.document(endpoints, SERVICES[service].title))
    page = docs_page.render(described).encode()
    return endpoints


def _elsewhere(service: ServiceName) -> list[Endpoint]:
    """The endpoints of the other services: the settings may name them, too."""
    return [e for name, other in SERVICES.items() if name != service for e in other.endpoints]


def _no_redirects(router: Router) -> None:
    # A redirect from /v1/keys/ would be made from the Host header, which anyone can set.
    router.redirect_slashes = False
