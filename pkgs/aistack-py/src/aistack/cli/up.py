"""The demo: the whole stack on embedded defaults, in one folder, with no service installed."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import click
import msgspec
import uvicorn

from aistack.access.model import LOCAL_OPERATOR
from aistack.api.app import create_app
from aistack.cli.context import command
from aistack.cli.jobs import import_paths, tell, wait_for_index
from aistack.cli.look import show_hits
from aistack.cli.render import say
from aistack.cli.serve import Listener, uvicorn_options
from aistack.embedded.postgres import EmbeddedPostgres
from aistack.errors import ConfigError, UnauthenticatedError, UnavailableError
from aistack.kit.logs import set_up
from aistack.knowledge.model import Query
from aistack.migrations.runner import migrate
from aistack.settings.load import parse
from aistack.wiring import Stack, open_stack

COLLECTION = "aistack_docs"
QUESTION = "How does the index follow PostgreSQL when the process is killed?"
_HOST = "127.0.0.1"
_LOOK_S = 2.0
"""How often the demo looks for its database."""


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help="The folder that holds everything; a second start keeps it.",
)
@click.option("--docs", type=click.Path(path_type=Path, exists=True), help="Import this first.")
@click.option("--question", default=QUESTION, show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8091, show_default=True)
@click.option("--once", is_flag=True, help="End after the answer.")
@command
async def up(data: Path, docs: Path | None, question: str, port: int, once: bool) -> None:
    """Start everything here: PostgreSQL and an index of its own, no root, nothing installed."""
    set_up("warning", "text")
    data = data.absolute()
    with (
        nullcontext() if once else _listening(port) as sock,
        embedded(data, port) as (raw, database),
    ):
        settings = parse(raw)
        await migrate(settings.postgres.dsn)
        async with open_stack(settings, index=True) as stack, _served(stack, sock) as server:
            if docs is not None:
                tell(await import_paths(stack, [docs], COLLECTION, "aistack"))
            await wait_for_index(stack, COLLECTION)
            key = await _key(stack, data / "admin.key")
            if (await stack.collections.get(LOCAL_OPERATOR, COLLECTION)).documents:
                await _ask(stack, question)
            _tell(data, port, key)
            if server is not None:
                say("Ctrl-C ends it; the next start goes on with the same data.")
                await _serving(server, database)


@contextmanager
def embedded(data: Path, port: int) -> Iterator[tuple[dict[str, Any], EmbeddedPostgres]]:
    """Run the database of a data folder; yields the settings that fit it, as in a file, and it."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"cannot make {data} ({exc.strerror}); choose another by --data") from exc
    database = EmbeddedPostgres(data / "postgresql")
    with database as dsn:
        raw = {
            "aidb": {"port": port},
            "postgres": {"dsn": dsn},
            "qdrant": {"path": str(data / "qdrant")},
            # The index is in this process: on a busy machine it answers after what is before it.
            "health": {"interval_s": 20, "timeout_s": 10},
            "log": {"format": "text", "level": "warning"},
            "collections": {COLLECTION: {"description": "The documentation of aistack itself"}},
        }
        _write_config(data / "config.toml", raw)
        yield raw, database


def _write_config(path: Path, raw: dict[str, Any]) -> None:
    """The same settings for other commands: aistack --config DATA/config.toml keys list."""
    lines = ["# Written by aistack up at each start.", ""]
    for section, values in raw.items():
        for name, value in values.items():
            if isinstance(value, dict):
                lines += [
                    f"[{section}.{name}]",
                    *(f"{k} = {json.dumps(v)}" for k, v in value.items()),
                ]
            else:
                header = f"[{section}]"
                lines += [header] if header not in lines else []
                lines.append(f"{name} = {json.dumps(value)}")
    path.write_text("\n".join(lines) + "\n", "utf-8")


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """A socket for the HTTP server, before anything is started: the port may be another's."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((_HOST, port))
        except OSError as exc:
            raise ConfigError(
                f"cannot listen at {_HOST}:{port} ({exc.strerror}); choose another by --port"
            ) from exc
        yield sock


@asynccontextmanager
async def _served(
    stack: Stack, sock: socket.socket | None
) -> AsyncIterator["asyncio.Task[None] | None"]:
    """The HTTP server in this process's loop: local mode has one process. None: no server."""
    if sock is None:
        yield None
        return
    app = create_app(stack)
    options = uvicorn_options(stack.settings) | {"loop": "none"}
    server = Listener(uvicorn.Config(app, **options))
    task = asyncio.create_task(server.serve([sock]), name="http")
    try:
        yield task
    finally:
        server.should_exit = True
        await asyncio.wait([task])


async def _serving(http: "asyncio.Task[None]", database: EmbeddedPostgres) -> None:
    """Serve until Ctrl-C.

    Raises:
        UnavailableError: the database has ended: from then on every answer would be a 503.
    """
    while not (await asyncio.wait([http], timeout=_LOOK_S))[0]:
        if not await asyncio.to_thread(database.lives):
            raise UnavailableError(
                "the demo's PostgreSQL has ended, so the demo ends, too; the next start goes on"
                f" with the same data. {database.last_words()}"
            )
    await http


async def _ask(stack: Stack, question: str) -> None:
    click.echo(click.style(f"\n? {question}\n", bold=True))
    asked = Query(query=question, collection=COLLECTION, limit=3)
    show_hits(await stack.search.search(LOCAL_OPERATOR, asked))


async def _key(stack: Stack, path: Path) -> str:
    """The demo's admin key, kept in a file that only its owner reads."""
    if path.exists():
        # Of a database that was moved away meanwhile, or of a start that was killed, it is none.
        with suppress(UnauthenticatedError):
            await stack.keys.verify(key := path.read_text("utf-8").strip())
            return key
        path.unlink()
    new = await stack.keys.create(name="demo", scopes=["admin"])
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(new.key + "\n")
    return new.key


def _tell(data: Path, port: int, key: str) -> None:
    url = f"http://127.0.0.1:{port}"
    client = {
        "mcpServers": {
            "aistack": {
                "type": "http",
                "url": f"{url}/mcp",
                "headers": {"Authorization": f"Bearer {key}"},
            }
        }
    }
    body = json.dumps({"query": "how do I rotate a key", "collection": COLLECTION})
    say(f"""
data    {data}
key     {key}   (also in {data / "admin.key"})
console {url}/console/   (sign in with the key)
API     {url}/v1      description {url}/docs (any user, the key as password)
MCP     {url}/mcp     client configuration:
{msgspec.json.format(msgspec.json.encode(client), indent=2).decode()}

ask     curl -s {url}/v1/query -H 'Authorization: Bearer {key}' \\
          -H 'Content-Type: application/json' -d '{body}'
""")
