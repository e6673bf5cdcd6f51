"""Looking at what there is."""

import asyncio
from datetime import UTC, datetime

import click

from aistack.backup import catalogue, expire as expiry
from aistack.backup.model import RunRecord
from aistack.backup.status import Status, look
from aistack.backup.store import Memory
from aistack.cli import exits
from aistack.cli.backup.database import administrator
from aistack.cli.backup.shared import read_all, repository_option
from aistack.cli.context import command, json_option, settings_of
from aistack.cli.render import as_json, say, table
from aistack.errors import NotFoundError, UnavailableError
from aistack.settings.schema import Settings

_MIB = 2**20
_SHORT = 8


@click.command("list")
@repository_option
@json_option
@click.pass_context
@command
async def list_(ctx: click.Context, repository: str | None, json_: bool) -> int:
    """List what the repositories hold. Needs the settings and the key only, no database."""
    settings = settings_of(ctx)
    found, away = await read_all(settings, repository)
    if json_:
        as_json(found)
    else:
        table(
            ["repository", "backup", "type", "ended", "size MiB", "added MiB", "run", "with"],
            [
                (
                    contents.repository,
                    one.label,
                    one.type + (" (damaged)" if one.error else ""),
                    f"{one.finished_at:%F %T %Z}",
                    f"{one.bytes / _MIB:.1f}",
                    f"{one.added_bytes / _MIB:.1f}",
                    one.run,
                    ", ".join(k.part for k in contents.kept if k.run == one.run) or None,
                )
                for contents in found
                for one in contents.physical
            ],
        )
    return exits.PARTIAL if away else exits.OK


@click.command("show")
@click.argument("run")
@repository_option
@json_option
@click.pass_context
@command
async def show(ctx: click.Context, run: str, repository: str | None, json_: bool) -> None:
    """Show what a run backed up: its moment, and the counts and digests of all tables."""
    settings = settings_of(ctx)
    record = await _record(settings, run, repository)
    if json_:
        as_json(record)
        return
    at = record.moment
    table(
        ["what", "value"],
        [
            ("run", record.id),
            ("host", record.host),
            ("generation", record.generation),
            ("moment", f"{at.at:%F %T %Z}, {at.lsn}" + ("" if at.exact else " (near)")),
            ("versions", ", ".join(f"{k} {v}" for k, v in sorted(record.versions.items()))),
            *((f"backup in {name}", label) for name, label in record.backups.items()),
        ],
    )
    click.echo()
    table(["table", "rows", "digest"], [(t.name, t.rows, t.digest) for t in at.tables])
    if record.collections:
        click.echo()
        headings = ["collection", "points", "MiB", "SHA-256"]
        table(
            headings,
            [(c.name, c.points, f"{c.bytes / _MIB:.1f}", c.sha256) for c in record.collections],
        )


@click.command("plan")
@repository_option
@json_option
@click.pass_context
@command
async def plan(ctx: click.Context, repository: str | None, json_: bool) -> int:
    """Show what stays and what goes, with the reason of each; nothing is deleted."""
    settings = settings_of(ctx)
    found, away = await read_all(settings, repository)
    now = datetime.now(UTC)
    plans = [expiry.decide(one, settings.backup.retention, now) for one in found]
    if json_:
        as_json(plans)
    else:
        show_plans(plans)
    return exits.PARTIAL if away else exits.OK


@click.command("status")
@json_option
@click.pass_context
@command
async def status(ctx: click.Context, json_: bool) -> None:
    """Show when everything last worked, and what would be lost now."""
    settings = settings_of(ctx)
    async with administrator(settings) as postgres:
        found = await look(settings.backup, Memory(postgres))
    if json_:
        as_json(found)
    else:
        _tell_status(found)


async def _record(settings: Settings, run: str, repository: str | None) -> RunRecord:
    found, away = await read_all(settings, repository)
    for contents in found:
        for one in contents.kept:
            if one.run == run and one.part == "index":
                where = (settings.backup, contents.repository, one)
                return await asyncio.to_thread(catalogue.record, *where)
    if away:
        raise UnavailableError(f"no run {run} in the repositories that answer")
    raise NotFoundError(f"no run {run}: aistack backup list")


def show_plans(plans: list[expiry.Plan]) -> None:
    """Print what stays and what goes."""
    table(
        ["repository", "part", "id", "at", "stays", "why"],
        [
            (
                v.repository,
                v.part,
                v.id if v.part == "postgresql" else v.id[:_SHORT],
                f"{v.at:%F %T}",
                "yes" if v.keep else "no",
                "; ".join(v.reasons),
            )
            for one in plans
            for v in one.verdicts
        ],
    )
    for one in plans:
        say(f"{one.repository}: every second since the last {one.archive} backups")


def _tell_status(found: Status) -> None:
    table(
        ["repository", "part", "last try", "last success", "MiB added", "seconds"],
        [
            (
                p.repository,
                p.part,
                p.state,
                f"{p.last_ok_at:%F %T %Z}" if p.last_ok_at else "never",
                f"{p.bytes / _MIB:.2f}",
                p.seconds,
            )
            for p in found.parts
        ],
    )
    click.echo()
    drilled = found.last_drill
    lag = found.archive_lag_s
    table(
        ["what", "now"],
        [
            ("WAL that is not safe", "nothing is archived" if lag is None else f"{lag:.0f} s old"),
            *(
                (
                    f"{r.name} verified",
                    f"{r.verified_at:%F %T %Z}" if r.verified_at else "never",
                )
                for r in found.repositories
            ),
            (
                "last drill",
                f"{drilled.finished_at:%F %T %Z}: {'ok' if drilled.ok else 'FAILED'}"
                if drilled
                else "never",
            ),
        ],
    )
