"""Proving that backups can be restored."""

from datetime import UTC, datetime

import click

from aistack.backup import verify as verification
from aistack.backup.drill import Drill, DrillReport
from aistack.backup.lock import alone
from aistack.backup.store import Memory
from aistack.backup.wal import SEGMENT_BYTES
from aistack.cli import exits
from aistack.cli.backup.database import administrator, noted
from aistack.cli.backup.shared import names_of, repository_option
from aistack.cli.context import command, json_option, settings_of
from aistack.cli.render import as_json, say, table
from aistack.jobs.ledger import Ledger
from aistack.stores.postgres import Postgres

_MIB = 2**20


@click.command("verify")
@repository_option
@json_option
@click.pass_context
@command
async def verify(ctx: click.Context, repository: str | None, json_: bool) -> int:
    """Read the repositories back against their checksums, and look for gaps in the WAL."""
    settings = settings_of(ctx)
    names = names_of(settings, repository)
    found = []
    async with noted(settings, "backup_verify") as (run, postgres):
        size = await _segment_bytes(postgres)
        with alone(settings.backup.state_dir):
            for name in names:
                say(f"{name}: reading it back")
                one = await verification.verify(settings.backup, name, datetime.now(UTC), size)
                found.append(one)
                if postgres is not None:
                    await Memory(postgres).verified(name, ok=not one.faults)
        run.failed = any(one.faults for one in found)
    if json_:
        as_json(found)
    else:
        table(
            ["repository", "backups", "restic part", "seconds", "faults"],
            [(o.repository, o.backups, o.part, o.seconds, len(o.faults)) for o in found],
        )
        for one in found:
            for fault in one.faults:
                say(f"{one.repository}: {fault}")
    return exits.FAILED if any(one.faults for one in found) else exits.OK


@click.command("drill")
@repository_option
@click.option("--run", "run_name", help="The run to restore [default: the newest].")
@json_option
@click.pass_context
@command
async def drill(
    ctx: click.Context, repository: str | None, run_name: str | None, json_: bool
) -> int:
    """Restore a run into scratch servers, compare it with its record, and time it.

    Without --repository each week takes the next one.
    """
    settings = settings_of(ctx)
    names = names_of(settings, repository)
    name = names[datetime.now(UTC).isocalendar().week % len(names)]
    async with administrator(settings) as postgres, Ledger(postgres).run("backup_drill") as run:
        with alone(settings.backup.state_dir):
            report = await Drill(settings, postgres, say).run(name, run_name)
        run.detail |= {"run": report.run, "rto_s": report.rto_s}
        run.failed = not report.ok
    if json_:
        as_json(report)
    else:
        _tell_drill(report)
    return exits.OK if report.ok else exits.FAILED


async def _segment_bytes(postgres: Postgres | None) -> int:
    if postgres is None:
        return SEGMENT_BYTES
    query = "select pg_size_bytes(current_setting('wal_segment_size')) as size"
    return int((await postgres.fetch(query, {}))[0]["size"])


def _tell_drill(report: DrillReport) -> None:
    table(
        ["check", "status", "seconds", "what"],
        [(c.name, c.status, c.seconds, c.detail) for c in report.checks],
    )
    click.echo()
    table(
        ["what", "value"],
        [
            ("run", f"{report.run} in {report.repository}, backup {report.backup}"),
            ("restored", f"{report.bytes / _MIB:.1f} MiB"),
            ("RTO", f"{report.rto_s} s until PostgreSQL answered" if report.rto_s else None),
            (
                "RPO",
                f"{report.rpo_s} s of writes were not safe" if report.rpo_s is not None else None,
            ),
            ("result", "ok" if report.ok else "FAILED"),
        ],
    )
