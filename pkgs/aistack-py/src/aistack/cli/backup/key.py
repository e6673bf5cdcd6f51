"""The key of all repositories."""

import asyncio
import hashlib
import secrets
from pathlib import Path

import click
import msgspec

from aistack.backup import places
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restic import Restic
from aistack.cli import exits
from aistack.cli.backup.shared import (
    names_of,
)
from aistack.cli.context import command, settings_of
from aistack.cli.render import say, table
from aistack.errors import AistackError

_SHORT = 8


@click.command("key-generate")
def key_generate() -> None:
    """Print a new key for repositories. Keep a copy off the host: without it all is lost."""
    click.echo(secrets.token_urlsafe(32))


@click.command("key-check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_context
@command
async def key_check(ctx: click.Context, file: Path) -> int:
    """Check that a copy of the key opens every repository."""
    settings = settings_of(ctx)
    own = msgspec.structs.replace(settings.backup, key_file=str(file.absolute()))
    digest = hashlib.sha256(places.key(own).encode()).hexdigest()[:_SHORT]
    wrong = 0
    rows = []
    for name in names_of(settings, None):
        try:
            there = await asyncio.to_thread(Restic(own, name).exists)
            await asyncio.to_thread(PgBackRest(own).contents, name)
            rows.append((name, "opens" if there else "nothing is in it yet"))
        except AistackError as exc:
            rows.append((name, exc.detail))
            wrong += 1
    table(["repository", "this key"], rows)
    say(f"fingerprint {digest}")
    return exits.FAILED if wrong else exits.OK
