"""PostgreSQL itself: to another major version, and what that leaves."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import click

from aistack.backup.lock import alone as without_backups
from aistack.backup.restore import Systemd
from aistack.cli import exits
from aistack.cli.context import command, config_file, json_option, settings_of
from aistack.cli.render import as_json, say, table
from aistack.errors import AistackError, ConflictError, NotFoundError
from aistack.kit import process
from aistack.postgres_upgrade import backups, model
from aistack.postgres_upgrade.lock import alone
from aistack.postgres_upgrade.model import Method, Plan, Record, Transfer
from aistack.postgres_upgrade.plan import clusters, newer, plan
from aistack.postgres_upgrade.upgrader import Upgrader
from aistack.settings.schema import Settings

_BACKUP_S = 24 * 3600
_MIB = 2**20
_without_backup = click.option(
    "--without-backup", is_flag=True, help="Also where no backup could be restored."
)


@click.group()
def postgres() -> None:
    """Bring PostgreSQL to a newer major version."""


@postgres.command("upgrade")
@click.option(
    "--method",
    type=click.Choice(["pg_upgrade", "dump"]),
    default="pg_upgrade",
    show_default=True,
    help="Take the files over, or write everything anew (slower, for what pg_upgrade refuses).",
)
@click.option(
    "--transfer",
    type=click.Choice(["copy", "clone", "link"]),
    default="copy",
    show_default=True,
    help="How pg_upgrade takes files over: link is quick and takes the way back.",
)
@_without_backup
@click.option("--dry-run", is_flag=True, help="Look and try, change nothing; PostgreSQL may run.")
@json_option
@click.pass_context
@command
async def upgrade(
    ctx: click.Context,
    method: Method,
    transfer: Transfer,
    without_backup: bool,
    dry_run: bool,
    json_: bool,
) -> int:
    """Carry the database over to the major version that the configuration wants.

    What is there afterwards is compared with what was there before, table by table. The older data
    folder is kept until aistack postgres finish. Killed at any point, run it again.
    """
    settings = settings_of(ctx)
    old, new = clusters(settings.postgres_upgrade)
    units = Systemd(settings.postgres_upgrade.units)
    work = Upgrader(settings.postgres_upgrade, old, new, units, say)
    with alone(new.data.parent), _no_backup_begins(settings):
        if dry_run and work.under_way:
            raise ConflictError("an upgrade was not finished: run it again, without --dry-run")
        record = None if dry_run else work.resume()
        if record is None and not (old.version is None and model.read(new.data)):
            if not dry_run:
                work.tidy()
            fault = None if without_backup else backups.fault(settings.backup, old.major)
            found = plan(old, new, method, transfer, live=dry_run, backup=fault)
            if not json_:
                _show(found)
            if dry_run:
                return _tried(work, found, json_=json_)
            if found.faults:
                raise ConflictError(found.faults[0])
            record = await work.run(found)
    done = record or model.read(new.data)
    if done is None:
        raise NotFoundError(f"{old.data} has no cluster: there is nothing to upgrade")
    if record is None:
        say(f"PostgreSQL is at {done.to_version} already")
        if dry_run:
            return exits.OK
        work.start()
    # Whole backups take long, and disturb nobody.
    units.start_users()
    late = _anew(settings, config_file(ctx), done)
    _tell(done, work.kept(done), json_=json_)
    return exits.PARTIAL if late else exits.OK


@postgres.command("finish")
@_without_backup
@click.option("--dry-run", is_flag=True, help="Only name what would be deleted.")
@click.pass_context
@command
async def finish(ctx: click.Context, without_backup: bool, dry_run: bool) -> None:
    """Delete the older data folder, which an upgrade kept: after that there is no way back."""
    settings = settings_of(ctx)
    new = newer(settings.postgres_upgrade)
    with alone(new.data.parent):
        record = model.read(new.data)
        kept = new.data.with_name(record.kept) if record else None
        if record is None or kept is None or not kept.exists():
            raise NotFoundError(f"no upgrade of {new.data} has kept anything")
        if not new.lives():
            raise ConflictError(f"PostgreSQL {record.to_version} does not run: what is kept stays")
        fault = backups.fault(settings.backup, record.to_version, record.at)
        if fault is not None and not without_backup:
            raise ConflictError(fault)
        say(f"{'would delete' if dry_run else 'deleting'} {kept}")
        if not dry_run:
            shutil.rmtree(kept)


@contextlib.contextmanager
def _no_backup_begins(settings: Settings) -> Iterator[None]:
    if not settings.backup.repositories:
        yield
        return
    with without_backups(settings.backup.state_dir):
        yield


def _tried(work: Upgrader, found: Plan, *, json_: bool) -> int:
    if not found.faults:
        try:
            work.look(found)
        except AistackError as exc:
            found.faults.append(exc.detail)
    if json_:
        as_json(found)
    for fault in found.faults:
        say(f"in the way: {fault}")
    if not found.faults:
        say("nothing is in the way")
    return exits.FAILED if found.faults else exits.OK


def _anew(settings: Settings, config: Path, done: Record) -> bool:
    """Backups of the newer server; whether something is still to be done."""
    try:
        lacking = backups.begin_anew(settings.backup, done.to_version, done.at, say)
        if lacking:
            say("a whole backup, without which nothing newer could be restored")
            words: process.Command = ["--config", config, "backup", "run", "--type", "full"]
            process.again(words, _BACKUP_S, process.owner(Path(settings.backup.data_dir)))
    except AistackError as exc:
        say(f"the database is right, but there is no backup of it yet: {exc.detail}")
        return True
    return False


def _show(found: Plan) -> None:
    table(
        ["what", "value"],
        [
            ("from", f"PostgreSQL {found.from_version} in {found.from_data_dir}"),
            ("to", f"PostgreSQL {found.to_version} in {found.data_dir}"),
            ("by", f"{found.method}, {found.transfer}"),
            ("takes", f"{found.bytes // _MIB} MiB"),
            ("needs", f"{found.needed_bytes // _MIB} of {found.free_bytes // _MIB} MiB free"),
            ("keeps", found.kept),
        ],
    )


def _tell(done: Record, kept: Path, *, json_: bool) -> None:
    if json_:
        as_json(done)
        return
    say(f"PostgreSQL {done.to_version} has all {done.rows} rows of {done.tables} tables")
    for sql in done.left:
        say(f"left to you, in the database {sql};")
    if kept.exists():
        say(f"{kept} is kept: aistack postgres finish deletes it")
