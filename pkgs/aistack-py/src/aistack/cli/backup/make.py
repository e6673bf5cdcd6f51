"""Making backups, and deleting old ones."""

from datetime import UTC, datetime

import click

from aistack.backup import expire as expiry
from aistack.backup.lock import alone
from aistack.backup.model import RunReport
from aistack.backup.run import Kind, Runner
from aistack.cli import exits
from aistack.cli.backup.database import administrator, noted
from aistack.cli.backup.look import show_plans
from aistack.cli.backup.shared import expire_all, names_of, read_all, repository_option
from aistack.cli.context import command, json_option, settings_of
from aistack.cli.render import as_json, say, table
from aistack.jobs.ledger import Ledger

_MIB = 2**20


@click.command("run")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["auto", "full", "diff", "incr", "logical"]),
    default="auto",
    show_default=True,
    help="Of the physical backup; logical: a dump besides, due or not.",
)
@json_option
@click.pass_context
@command
async def run_(ctx: click.Context, kind: Kind, json_: bool) -> int:
    """Make a backup in every repository, then delete what is older than the retention."""
    settings = settings_of(ctx)
    async with administrator(settings) as postgres, Ledger(postgres).run("backup") as run:
        with alone(settings.backup.state_dir):
            report = await Runner(settings, postgres, say).run(kind)
            run.detail |= {"run": report.id, "state": report.state}
            run.failed = report.state == "failed"
            # Only where there is a new one: what is old may be all that there is.
            fresh = [
                o.repository for o in report.outcomes if o.part == "postgresql" and o.state == "ok"
            ]
            late = await expire_all(settings, fresh)
    if json_:
        as_json(report)
    else:
        _tell(report)
    if report.state == "failed":
        return exits.FAILED
    return exits.PARTIAL if report.state == "partial" or late else exits.OK


@click.command("expire")
@repository_option
@click.option("--dry-run", is_flag=True, help="Only say what would go, as plan does.")
@click.pass_context
@command
async def expire(ctx: click.Context, repository: str | None, dry_run: bool) -> int:
    """Delete what is older than the retention."""
    settings = settings_of(ctx)
    if dry_run:
        found, away = await read_all(settings, repository)
        now = datetime.now(UTC)
        show_plans([expiry.decide(one, settings.backup.retention, now) for one in found])
        return exits.PARTIAL if away else exits.OK
    async with noted(settings, "backup_expire") as (run, _):
        names = names_of(settings, repository)
        with alone(settings.backup.state_dir):
            late = await expire_all(settings, names)
        run.failed = bool(late)
    if not late:
        return exits.OK
    return exits.PARTIAL if len(late) < len(names) else exits.FAILED


def _tell(report: RunReport) -> None:
    table(
        ["repository", "part", "state", "id", "added MiB", "seconds", "error"],
        [
            (o.repository, o.part, o.state, o.id, f"{o.bytes / _MIB:.2f}", o.seconds, o.error)
            for o in report.outcomes
        ],
    )
    say(f"run {report.id}: {report.state}")
