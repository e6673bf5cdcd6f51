"""Brings the database to this version."""

import click

from aistack.cli.context import command, settings_of
from aistack.cli.render import say
from aistack.jobs.ledger import Ledger
from aistack.migrations.runner import migrate as apply_migrations
from aistack.stores.postgres import Postgres, connection_string


@click.command()
@click.option("--dry-run", is_flag=True, help="Only name what would be applied.")
@click.pass_context
@command
async def migrate(ctx: click.Context, dry_run: bool) -> None:
    """Bring the database's schema to this version."""
    settings = settings_of(ctx)
    dsn = connection_string(settings.postgres)
    if dry_run:
        applied = await apply_migrations(dsn, dry_run=True)
    else:
        async with Ledger(Postgres(settings.postgres)).run("migrate") as run:
            applied = await apply_migrations(dsn)
            run.detail["applied"] = len(applied)
    for name in applied:
        say(f"{'would apply' if dry_run else 'applied'} {name}")
    if not applied:
        say("nothing to apply")
