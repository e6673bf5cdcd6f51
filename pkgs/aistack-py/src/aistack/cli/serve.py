"""Runs the API under uvicorn, and MCP over stdio."""

import os
from contextlib import AsyncExitStack
from typing import Any

import click
import uvicorn
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from aistack.access.model import Principal, Scope
from aistack.api.app import create_app
from aistack.api.mcp import run_stdio
from aistack.cli.context import command, config_file, error_boundary, settings_of
from aistack.kit.logs import set_up
from aistack.kit.notify import notify
from aistack.settings.load import config_path, load
from aistack.settings.schema import Settings
from aistack.wiring import open_stack


class Server:
    """An ASGI application that opens the stack when it starts and closes it when it stops.

    Each worker process makes its own, by `from_environment`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app: ASGIApp | None = None

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "lifespan":
            if self._app is not None:
                await self._app(scope, receive, send)
            return
        await receive()
        try:
            async with AsyncExitStack() as resources:
                stack = await resources.enter_async_context(open_stack(self._settings))
                app = create_app(stack)
                await resources.enter_async_context(app.router.lifespan_context(app))
                self._app = app
                await send({"type": "lifespan.startup.complete"})
                notify("READY=1")
                await receive()
                notify("STOPPING=1")
        except Exception as exc:
            if self._app is None:
                await send({"type": "lifespan.startup.failed", "message": str(exc)})
                return
            raise
        await send({"type": "lifespan.shutdown.complete"})


def from_environment() -> Server:
    """What uvicorn's workers call: settings by $AISTACK_CONFIG."""
    settings = load(config_path())
    set_up(settings.log.level, settings.log.format)
    return Server(settings)


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """How uvicorn runs: uvloop and httptools, no log of its own about requests."""
    return {
        "host": settings.server.host,
        "port": settings.server.port,
        "loop": "uvloop",
        "http": "httptools",
        "lifespan": "on",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "timeout_graceful_shutdown": settings.server.shutdown_s,
        # Proxies are trusted explicitly, by a later setting; never by what a client claims.
        "proxy_headers": False,
    }


@click.command()
@click.pass_context
def serve(ctx: click.Context) -> None:
    """Serve HTTP and MCP (systemd: Type=notify)."""
    with error_boundary():
        settings = settings_of(ctx)
    # Workers are fresh processes: they find the same file by the environment.
    os.environ["AISTACK_CONFIG"] = str(config_file(ctx).absolute())
    set_up(settings.log.level, settings.log.format)
    uvicorn.run(
        "aistack.cli.serve:from_environment",
        factory=True,
        workers=settings.server.workers,
        **uvicorn_options(settings),
    )


@click.command()
@click.option("--write", is_flag=True, help="Also offer the tools that change documents.")
@click.pass_context
@command
async def mcp(ctx: click.Context, write: bool) -> None:
    """Serve MCP on standard input and output, for a client on this machine."""
    scopes: frozenset[Scope] = frozenset({"write" if write else "read"})
    async with open_stack(settings_of(ctx)) as stack:
        await run_stdio(stack, Principal("stdio", "stdio client", scopes))
