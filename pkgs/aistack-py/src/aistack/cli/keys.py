"""Makes, lists, rotates and revokes API keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import click

from aistack.access.keys import Keys, generate
from aistack.access.model import LARGEST_LIMIT, SCOPES, KeyInfo, Scope
from aistack.cli.context import command, json_option, settings_of
from aistack.cli.numbers import DAYS, OVERLAP_HOURS
from aistack.cli.render import as_json, say, table
from aistack.migrations.runner import require_schema
from aistack.settings.load import read_secret
from aistack.stores.postgres import Postgres

_LIMIT = click.IntRange(1, LARGEST_LIMIT)
_scopes = click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), default=["read"]
)
_per_minute = click.option("--per-minute", type=_LIMIT, help="Its own limit [default: settings'].")
_per_hour = click.option("--per-hour", type=_LIMIT, help="Its own limit [default: settings'].")


@asynccontextmanager
async def _keys(ctx: click.Context) -> AsyncIterator[Keys]:
    """The keys alone: their commands need no index."""
    postgres = Postgres(settings_of(ctx).postgres)
    await postgres.open()
    try:
        async with postgres.read() as conn:
            await require_schema(conn)
        yield Keys(postgres)
    finally:
        await postgres.close()


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke API keys."""


@keys.command("create")
@click.argument("name")
@_scopes
@click.option("--collection", "collections", multiple=True, help="Only these [default: all].")
@click.option("--days", type=DAYS, help="Days until the key ends [default: never].")
@_per_minute
@_per_hour
@json_option
@click.pass_context
@command
async def create(
    ctx: click.Context,
    name: str,
    scopes: tuple[Scope, ...],
    collections: tuple[str, ...],
    days: int | None,
    per_minute: int | None,
    per_hour: int | None,
    json_: bool,
) -> None:
    """Make a key. Its secret is printed now and never again."""
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    async with _keys(ctx) as stored:
        new = await stored.create(
            name=name,
            scopes=scopes,
            collections=collections or None,
            expires_at=expires_at,
            per_minute=per_minute,
            per_hour=per_hour,
        )
    if json_:
        as_json(new)
    else:
        click.echo(new.key)


@keys.command("generate")
@command
async def generate_key() -> None:
    """Print a new key that no database knows yet: for a secret store, and `keys ensure`."""
    click.echo(generate())


@keys.command("ensure")
@click.argument("name")
@click.option("--key-file", required=True, help="File, or credential:NAME of systemd.")
@_scopes
@_per_minute
@_per_hour
@click.pass_context
@command
async def ensure_key(
    ctx: click.Context,
    name: str,
    key_file: str,
    scopes: tuple[Scope, ...],
    per_minute: int | None,
    per_hour: int | None,
) -> None:
    """Make the key in a file one of this database, unless it is already (even revoked).

    An empty file is none: there is nothing to do.
    """
    key = read_secret(key_file, "--key-file", empty="none")
    if not key:
        say("no key given")
        return
    async with _keys(ctx) as stored:
        made = await stored.ensure(
            key, name=name, scopes=scopes, per_minute=per_minute, per_hour=per_hour
        )
    say(f"made the key {name}" if made else f"the key {name} exists")


@keys.command("list")
@json_option
@click.pass_context
@command
async def list_keys(ctx: click.Context, json_: bool) -> None:
    """List all keys, without their secrets."""
    async with _keys(ctx) as stored:
        found = await stored.list()
    if json_:
        as_json(found)
    else:
        show_keys(found)


def show_keys(found: list[KeyInfo]) -> None:
    """Print keys as a table."""
    rows = [
        (k.id, k.name, ",".join(k.scopes), ",".join(k.collections or ["all"]), k.expires_at,
         k.revoked_at, k.last_used_at)
        for k in found
    ]  # fmt: skip
    table(["id", "name", "scopes", "collections", "expires", "revoked", "last used"], rows)


@keys.command("rotate")
@click.argument("id")
@click.option("--overlap-hours", type=OVERLAP_HOURS, default=24.0, show_default=True)
@json_option
@click.pass_context
@command
async def rotate(ctx: click.Context, id: str, overlap_hours: float, json_: bool) -> None:  # noqa: A002
    """Make a key's successor; the old one ends after the overlap."""
    async with _keys(ctx) as stored:
        new = await stored.rotate(id, overlap=timedelta(hours=overlap_hours))
    if json_:
        as_json(new)
    else:
        click.echo(new.key)


@keys.command("revoke")
@click.argument("id")
@click.pass_context
@command
async def revoke(ctx: click.Context, id: str) -> None:  # noqa: A002
    """End a key now."""
    async with _keys(ctx) as stored:
        await stored.revoke(id)
    say(f"revoked {id}")


@keys.command("history")
@click.argument("id", required=False)
@click.option("--limit", "-n", type=click.IntRange(1, 10_000), default=100, show_default=True)
@json_option
@click.pass_context
@command
async def history(ctx: click.Context, id: str | None, limit: int, json_: bool) -> None:  # noqa: A002
    """What was done to a key, or to all of them, newest first."""
    async with _keys(ctx) as stored:
        found = await stored.events(id, limit=limit)
    if json_:
        as_json(found)
    else:
        table(["at", "key", "event", "by"], [(e.at, e.key_id, e.event, e.actor) for e in found])
