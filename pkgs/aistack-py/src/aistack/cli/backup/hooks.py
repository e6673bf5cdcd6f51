"""What `aistack restore` calls; nobody else."""

import asyncio
import shutil
from pathlib import Path

import click

from aistack.backup import index, reconcile
from aistack.backup.catalogue import restored_record
from aistack.backup.restic import Restic
from aistack.cli.backup.database import administrator
from aistack.cli.context import command, settings_of
from aistack.cli.render import say
from aistack.errors import AistackError, NotFoundError, UnavailableError
from aistack.knowledge.vectors import Vectors
from aistack.settings.schema import Settings
from aistack.stores.qdrant import Qdrant
from aistack.stores.snapshots import Snapshots


@click.command("restore-index", hidden=True)
@click.option("--repository", required=True)
@click.option("--snapshot")
@click.pass_context
@command
async def restore_index(ctx: click.Context, repository: str, snapshot: str | None) -> None:
    """Bring the index to a restored database; `aistack restore` calls it, and holds the lock."""
    settings = settings_of(ctx)
    if settings.qdrant.path is not None:
        click.echo("rebuilt by the service (local mode)")
        return
    async with Snapshots.open(settings.qdrant) as snapshots:
        try:
            click.echo(await _restore_index(settings, snapshots, repository, snapshot))
        except AistackError as exc:
            say(f"the snapshots cannot be used: {exc.detail}")
            dropped = await reconcile.rebuild(snapshots)
            click.echo(f"{dropped} collections dropped; the service makes them from PostgreSQL")


async def _restore_index(
    settings: Settings, snapshots: Snapshots, repository: str, snapshot: str | None
) -> str:
    if snapshot is None:
        raise NotFoundError("there are none of that time")
    restic = Restic(settings.backup, repository)
    folder = Path(settings.backup.state_dir) / "restore"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        await asyncio.to_thread(restic.restore, snapshot, folder)
        record = restored_record(folder)
        ours, theirs = await snapshots.version(), record.versions.get("qdrant", "")
        if ours.split(".")[:2] != theirs.split(".")[:2]:
            raise UnavailableError(f"they are of Qdrant {theirs}, the server is {ours}")
        await index.restore(snapshots, record.collections, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    qdrant = Qdrant(settings.qdrant)
    async with administrator(settings) as postgres:
        try:
            done = await reconcile.reconcile(postgres, Vectors(qdrant), snapshots)
        finally:
            await qdrant.close()
    return (
        f"{len(record.collections)} collections of run {record.id}; {done.dropped_points} points"
        f" dropped, {done.documents} documents due again"
    )
