"""Garbage collection of learned solutions."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import click
import msgspec

from aistack.cli import exits
from aistack.cli.context import command, json_option, settings_of
from aistack.cli.numbers import ID
from aistack.cli.render import as_json, say, table
from aistack.gc.collector import BusyError, Collector
from aistack.gc.model import Plan, Report, RunInfo, Step, Sweep, TierReport
from aistack.gc.plan import PlanFile
from aistack.jobs.ledger import Ledger
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres
from aistack.wiring import open_stack

_SHOWN = 50
_force = click.option(
    "--force", is_flag=True, help="Also where the number of solutions looks wrong."
)
_full = click.option(
    "--full", is_flag=True, help="Compare all solutions with each other, not only the new ones."
)


@click.group()
def gc() -> None:
    """Collect solutions that are not worth keeping, or bring them back."""


@gc.command("plan")
@_full
@_force
@json_option
@click.pass_context
@command
async def plan(ctx: click.Context, full: bool, force: bool, json_: bool) -> None:
    """Show what a run would do now, and why; nothing is changed."""
    await _show_plan(settings_of(ctx), full=full, force=force, json_=json_)


@gc.command("run")
@click.option("--dry-run", is_flag=True, help="The same as plan.")
@_full
@_force
@json_option
@click.pass_context
@command
async def run(ctx: click.Context, dry_run: bool, full: bool, force: bool, json_: bool) -> int:
    """Collect now. Where a run is under way already, this one says so and ends well.

    Exit code 3: the index was away, so orphans were not looked for; all else was done.
    """
    settings = settings_of(ctx)
    if dry_run:
        await _show_plan(settings, full=full, force=force, json_=json_)
        return exits.OK
    async with (
        Ledger(Postgres(settings.postgres)).run("gc") as job,
        open_stack(settings, index=False) as stack,
    ):
        try:
            report = await stack.collector.run(full=full, force=force)
        except BusyError as exc:
            job.detail["busy"] = True
            say(exc.detail)
            return exits.OK
        job.detail |= {"run": report.run, "deleted": _discards(report.tiers)}
        job.failed = report.result == "partial"
    if json_:
        as_json(report)
    else:
        _tell(report)
    return exits.PARTIAL if report.result == "partial" else exits.OK


@gc.command("undo")
@click.argument("run", type=ID)
@json_option
@click.pass_context
@command
async def undo(ctx: click.Context, run: int, json_: bool) -> int:
    """Bring back the solutions that a run took away, as far as they are still in the trash."""
    settings = settings_of(ctx)
    async with (
        Ledger(Postgres(settings.postgres)).run("gc_undo") as job,
        open_stack(settings, index=False) as stack,
    ):
        done = await stack.collector.undo(run)
        job.detail |= {"undoes": run, "restored": done.restored}
        job.failed = done.refused > 0
    if json_:
        as_json(done)
    else:
        say(f"{done.restored} solutions are back")
        if done.refused:
            say(f"{done.refused} stay in the trash: validation.documents refuses their text now")
        if done.restored == done.refused == 0:
            say(f"nothing of run {run} is in the trash (kept for {settings.gc.trash_days} days)")
    return exits.PARTIAL if done.refused else exits.OK


@gc.command("history")
@click.argument("run", type=ID, required=False)
@click.option("--limit", "-n", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
@click.pass_context
@command
async def history(ctx: click.Context, run: int | None, limit: int, json_: bool) -> None:
    """List the newest runs, or what one of them took away."""
    async with _collector(ctx) as collector:
        runs = await collector.history(run, limit=limit)
        if run is None:
            _show_runs(runs, json_)
            return
        deletions = [deletion async for deletion in collector.deletions(run)]
    if json_:
        as_json({"run": runs[0], "deletions": deletions})
        return
    headings = ["solution", "reason", "kept instead", "evidence", "brought back"]
    table(
        headings,
        [(d.subject, d.reason, d.keeper, _evidence(d.evidence), d.restored_at) for d in deletions],
    )


@gc.command("status")
@json_option
@click.pass_context
@command
async def status(ctx: click.Context, json_: bool) -> None:
    """Show how full the store is, and when it was last collected."""
    async with _collector(ctx) as collector:
        found = await collector.status()
    if json_:
        as_json(found)
        return
    last, success = found.last_run, found.last_success_at
    table(
        ["what", "now"],
        [
            ("solutions", f"{found.solutions} of {found.max_solutions}"),
            ("pinned", found.pinned),
            ("in the trash", found.in_trash),
            ("storage", f"{found.storage_bytes / 2**20:.1f} MiB"),
            ("running", "yes" if found.running else "no"),
            ("last run", f"{last.id}: {last.result}, {last.started_at:%F %T %Z}" if last else None),
            ("last success", f"{success:%F %T %Z}" if success else None),
        ],
    )


@asynccontextmanager
async def _collector(ctx: click.Context) -> AsyncIterator[Collector]:
    async with open_stack(settings_of(ctx), index=False) as stack:
        yield stack.collector


async def _show_plan(settings: Settings, *, full: bool, force: bool, json_: bool) -> None:
    async with open_stack(settings, index=False) as stack:
        with PlanFile() as file:
            made = await stack.collector.plan(file, full=full, force=force)
            if json_:
                _plan_as_json(made, file.steps())
            else:
                _show(made, file.steps())


def _plan_as_json(made: Plan, steps: Iterable[Step]) -> None:
    """One document, written as it is read: a plan can have a million steps."""
    head = msgspec.json.encode(made).decode().removesuffix("}")
    click.echo(head + ',"steps":[', nl=False)
    for number, step in enumerate(steps):
        click.echo(("," if number else "") + "\n" + msgspec.json.encode(step).decode(), nl=False)
    click.echo("]}")


def _show(made: Plan, steps: Iterable[Step]) -> None:
    rows = [
        (s.tier, s.action, s.subject, s.reason, s.keeper, _evidence(s.evidence))
        for s in islice(steps, _SHOWN + 1)
    ]
    if rows:
        headings = ["tier", "action", "subject", "reason", "kept instead", "evidence"]
        table(headings, rows[:_SHOWN])
    if len(rows) > _SHOWN:
        say(f"these are the first {_SHOWN}; --json gives all")
    click.echo()
    _show_tiers(made.tiers)
    _say_sweeps(made.sweeps)
    for warning in made.warnings:
        say(warning)
    say(f"{made.live} solutions, {made.pinned} pinned; nothing was changed")


def _tell(report: Report) -> None:
    _show_tiers(report.tiers)
    _say_sweeps(report.sweeps)
    for warning in report.warnings:
        say(warning)
    if report.unchanged:
        say(f"{report.unchanged} were left to the next run: they have changed meanwhile")
    say(f"run {report.run}: {report.live_before} solutions before, {report.live_after} now")
    if _discards(report.tiers):
        say(f"to bring back what went: aistack gc undo {report.run}")


def _show_tiers(tiers: dict[str, TierReport]) -> None:
    headings = [
        "tier",
        "solutions",
        "points",
        "indexed again",
        "held back",
        "left alone",
        "seconds",
    ]
    table(
        headings,
        [
            (name, t.discards, t.points, t.reindexed, t.held_back, t.foreign, f"{t.seconds:.2f}")
            for name, t in tiers.items()
        ],
    )
    for name, tier in tiers.items():
        if tier.skipped:
            say(f"{name} was skipped: {tier.skipped}")


def _say_sweeps(sweeps: list[Sweep]) -> None:
    for one in sweeps:
        if one.rows:
            say(f"{one.kind}: {one.rows} rows older than {one.older_than_days} days")


def _show_runs(runs: list[RunInfo], json_: bool) -> None:
    if json_:
        as_json(runs)
        return
    headings = ["run", "kind", "started", "result", "before", "after", "deleted", "brought back"]
    table(
        headings,
        [
            (
                r.id,
                r.kind if r.undoes is None else f"undo {r.undoes}",
                f"{r.started_at:%F %T}",
                r.result,
                r.live_before,
                r.live_after,
                r.deleted,
                r.restored,
            )
            for r in runs
        ],
    )


def _discards(tiers: dict[str, TierReport]) -> int:
    return sum(tier.discards for tier in tiers.values())


def _evidence(evidence: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in evidence.items())
