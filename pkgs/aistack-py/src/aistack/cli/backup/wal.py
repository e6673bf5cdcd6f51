"""What PostgreSQL calls for each WAL segment; nobody else.

Within PostgreSQL's own sandbox, so with few imports: numpy's first system calls would end it there.
"""

from pathlib import Path

import click

from aistack.backup.pgbackrest import PgBackRest
from aistack.cli import exits
from aistack.cli.context import command, settings_of


@click.command("archive-push", hidden=True)
@click.argument("segment")
@click.pass_context
@command
async def archive_push(ctx: click.Context, segment: str) -> int:
    """Save one WAL segment: PostgreSQL's archive_command."""
    saved = PgBackRest(settings_of(ctx).backup).push(segment)
    return exits.OK if saved else exits.TRY_AGAIN


@click.command("archive-get", hidden=True)
@click.argument("segment")
@click.argument("into")
@click.pass_context
@command
async def archive_get(ctx: click.Context, segment: str, into: str) -> int:
    """Fetch one WAL segment: PostgreSQL's restore_command."""
    # The server's working folder is its data folder, also of one that was restored elsewhere.
    return PgBackRest(settings_of(ctx).backup, Path.cwd()).get(segment, into)
