"""Runs the API under uvicorn, and MCP over stdio."""

import gc
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, get_args

import click
import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from starlette.types import ASGIApp, Receive, Scope as AsgiScope, Send
from uvicorn.main import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from aistack.access.model import Principal, Scope
from aistack.api.app import create_app
from aistack.api.mcp import run_stdio
from aistack.api.services import SERVICES, ServiceName
from aistack.cli.context import command, config_file, error_boundary, settings_of
from aistack.cli.drain import draining
from aistack.issues.exceptions import recording
from aistack.kit.logs import set_up
from aistack.kit.notify import notify, watchdog_period
from aistack.monitoring.tracing import traced
from aistack.settings.load import config_path, load
from aistack.settings.schema import Settings
from aistack.wiring import open_stack

log = logging.getLogger(__name__)

_APP = "aistack.cli.serve:from_environment"
_SERVICE = "AISTACK_SERVICE"
"""Names, to a worker, the service that it serves."""
_SUPERVISOR = "AISTACK_SUPERVISOR"
"""Names, to a worker, the socket that takes its notices in the service manager's place."""


class Server:
    """An ASGI application that opens the stack when it starts and closes it when it stops.

    Each worker process makes its own, by `from_environment`.
    """

    def __init__(self, settings: Settings, service: ServiceName = "aidb") -> None:
        self._settings = settings
        self._service = service
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
                # Before the stores: their clients are made to be traced, or not.
                resources.enter_context(traced(self._settings.tracing, self._service))
                opened = open_stack(self._settings, service=self._service)
                stack = await resources.enter_async_context(opened)
                resources.enter_context(recording(stack.tracker.recorder, self._service))
                app = create_app(stack, self._service)
                await resources.enter_async_context(app.router.lifespan_context(app))
                drain_s = SERVICES[self._service].server(self._settings).drain_s
                resources.enter_context(draining(drain_s, stack.health.drain))
                self._app = app
                # What was loaded stays: a full collection would look through all of it, for 80 ms.
                gc.collect()
                gc.freeze()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                notify("STOPPING=1")
        except Exception as exc:
            if self._app is None:
                await send({"type": "lifespan.startup.failed", "message": str(exc)})
                return
            raise
        await send({"type": "lifespan.shutdown.complete"})


def from_environment() -> Server:
    """What uvicorn's workers call: settings by $AISTACK_CONFIG, the service by the command."""
    if supervisor := os.environ.get(_SUPERVISOR):
        os.environ["NOTIFY_SOCKET"] = supervisor
    settings = load(config_path())
    set_up(settings.log.level, settings.log.format)
    name = os.environ.get(_SERVICE)
    return Server(settings, "coordinator" if name == "coordinator" else "aidb")


def uvicorn_options(settings: Settings, service: ServiceName = "aidb") -> dict[str, Any]:
    """How uvicorn runs: uvloop and httptools, no log of its own about requests."""
    server = SERVICES[service].server(settings)
    return {
        "host": server.host,
        "port": server.port,
        "loop": "uvloop",
        "http": "httptools",
        "lifespan": "on",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "timeout_graceful_shutdown": server.shutdown_s,
        # Longer than a proxy keeps an idle connection: were it us who closed it, a request that
        # is on its way would be lost.
        "timeout_keep_alive": 90,
        # uvicorn would believe the left end of X-Forwarded-For, which is the client's own claim;
        # rate_limits.trusted_proxies says who is believed.
        "proxy_headers": False,
    }


class Listener(uvicorn.Server):
    """Says READY=1 when it listens: the application has started before that."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the stack, then listen."""
        await super().startup(sockets=sockets)
        if self.started:
            notify("READY=1")


class Supervisor(Multiprocess):
    """Several workers as one service: one READY=1 when all are up, one STOPPING=1.

    The service manager takes notices of the main process only. A worker that cannot start ends
    the service, as it does where it is the only one; a worker that dies later is started anew.
    """

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], notices: socket.socket
    ) -> None:
        super().__init__(config, Listener(config).run, sockets)
        self._notices = notices
        self._watchdog_s = watchdog_period()
        self._heard: dict[int, float] = {}
        """When the event loop of each worker was last known to run."""
        self._ready = threading.Event()
        self.failed = False

    def init_processes(self) -> None:
        """Start the workers, and a thread that takes their notices."""
        threading.Thread(target=self._take_notices, name="notices", daemon=True).start()
        super().init_processes()

    def _take_notices(self) -> None:
        starting = self.processes_num
        while True:  # also when all are up: a worker would wait in a full socket
            notice = dict(
                line.split("=", 1)
                for line in self._notices.recv(1024).decode().splitlines()
                if "=" in line
            )
            if "X_PID" in notice:
                self._heard[int(notice["X_PID"])] = time.monotonic()
            if "STATUS" in notice:  # they all look at the same things
                notify(f"STATUS={notice['STATUS']}")
            starting -= notice.get("READY") == "1"
            if starting == 0 and not self._ready.is_set():
                self._ready.set()
                notify("READY=1")

    def keep_subprocess_alive(self) -> None:
        """Look after the workers; uvicorn calls it twice a second."""
        if self._ready.is_set():
            self._watch()
            before = {process.pid for process in self.processes}
            super().keep_subprocess_alive()
            for pid in before - {process.pid for process in self.processes}:
                # Else its gauges are summed for ever.
                mark_process_dead(pid)  # type: ignore[no-untyped-call]  # it has no types
        elif any(process.process.exitcode is not None for process in self.processes):
            self.failed = True
            self.should_exit.set()

    def _watch(self) -> None:
        """End workers whose event loop is blocked, and tell the service manager that we look."""
        if self._watchdog_s is None:
            return
        now = time.monotonic()
        for process in self.processes:
            pid = process.pid or 0
            if now - self._heard.setdefault(pid, now) > self._watchdog_s:
                log.error("worker %d does not run its event loop; it is replaced", pid)
                del self._heard[pid]
                os.kill(pid, signal.SIGKILL)
        notify("WATCHDOG=1")

    def terminate_all(self) -> None:
        """Stop the workers; uvicorn calls it once, at the end."""
        if not self.failed:
            notify("STOPPING=1")
        super().terminate_all()


def run_workers(settings: Settings, service: ServiceName = "aidb") -> bool:
    """Serve with several processes until a signal ends it; False: a worker could not start."""
    # systemd's RuntimeDirectory goes away with the service even if it is killed.
    parent = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or None
    with (
        tempfile.TemporaryDirectory(prefix="aistack-", dir=parent) as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices,
    ):
        path = str(Path(folder, "notify"))
        notices.bind(path)
        os.environ[_SUPERVISOR] = path
        # Where the workers' metrics meet; new at each start, so counters begin at 0 as in one.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        options = uvicorn_options(settings, service)
        workers = SERVICES[service].server(settings).workers
        config = uvicorn.Config(_APP, factory=True, workers=workers, **options)
        supervisor = Supervisor(config, [config.bind_socket()], notices)
        supervisor.run()
    return not supervisor.failed


_service = click.argument("service", type=click.Choice(get_args(ServiceName)), default="aidb")


@click.command()
@_service
@click.pass_context
def serve(ctx: click.Context, service: ServiceName) -> None:
    """Serve HTTP and MCP (systemd: Type=notify): aidb [default] or the coordinator."""
    with error_boundary():
        settings = settings_of(ctx)
    # Workers are fresh processes: they find the same file by the environment.
    os.environ["AISTACK_CONFIG"] = str(config_file(ctx).absolute())
    os.environ[_SERVICE] = service
    set_up(settings.log.level, settings.log.format)
    if SERVICES[service].server(settings).workers == 1:
        server = Listener(uvicorn.Config(_APP, factory=True, **uvicorn_options(settings, service)))
        with suppress(KeyboardInterrupt):
            server.run()
        if not server.started:
            sys.exit(STARTUP_FAILURE)
    elif not run_workers(settings, service):
        sys.exit(STARTUP_FAILURE)


@click.command()
@_service
@click.option("--write", is_flag=True, help="Also offer the tools that change things.")
@click.pass_context
@command
async def mcp(ctx: click.Context, service: ServiceName, write: bool) -> None:
    """Serve MCP on standard input and output, for a client on this machine."""
    scopes: frozenset[Scope] = frozenset({"write" if write else "read"})
    async with open_stack(settings_of(ctx)) as stack:
        await run_stdio(stack, SERVICES[service], Principal("stdio", "stdio client", scopes))
