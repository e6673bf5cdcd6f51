"""What the issue tracker makes of it all: analysis, suggestions, export."""

from datetime import datetime, timedelta
from typing import TextIO

import click
import msgspec

from aistack.cli.context import command, json_option, settings_of
from aistack.cli.render import as_json, say, table
from aistack.cli.times import moment, span
from aistack.errors import NotFoundError
from aistack.issues.analysis import Analysis, Rated
from aistack.issues.report import page
from aistack.issues.suggest import Suggestion, suggestions
from aistack.issues.tracker import open_tracker

_window = click.option(
    "--window", type=span, default="7d", show_default=True, help="How far to look back."
)
_LEAST = timedelta(hours=2)
_LINES = 15


@click.command("analyze")
@_window
@click.option(
    "--html",
    type=click.File("w", encoding="utf-8", lazy=True),
    help="Write a page with plots; - is standard output.",
)
@json_option
@click.pass_context
@command
async def analyze(ctx: click.Context, window: timedelta, html: TextIO | None, json_: bool) -> None:
    """Show what is new, came back, spikes, grows, comes together, or is over."""
    async with open_tracker(settings_of(ctx)) as tracker:
        found = await tracker.analyze(max(window, _LEAST))
        if html is not None:
            html.write(page(found, await tracker.plots(found), suggestions(found)))
    if json_:
        as_json(found)
    elif html is None:
        _show(found)


@click.command("suggest")
@_window
@json_option
@click.pass_context
@command
async def suggest(ctx: click.Context, window: timedelta, json_: bool) -> None:
    """Say what could be done, by which evidence, and where it is described."""
    async with open_tracker(settings_of(ctx)) as tracker:
        found = suggestions(await tracker.analyze(max(window, _LEAST)))
    if json_:
        as_json(found)
        return
    if not found:
        say("nothing stands out")
    for one in found:
        _tell(one)


@click.command("export")
@click.option("--since", type=moment, help="Issues seen since: 2h, 7d, or a date.")
@click.option("--events", is_flag=True, help="Occurrences that are kept, as `import` reads them.")
@click.pass_context
@command
async def export(ctx: click.Context, since: datetime | None, events: bool) -> None:
    """Print issues as JSON lines, with their occurrences, links and history."""
    async with open_tracker(settings_of(ctx)) as tracker:
        async for number in tracker.issues.ids(since):
            try:
                detail = await tracker.issues.get(number)
            except NotFoundError:  # evicted since it was listed
                continue
            if not events:
                click.echo(msgspec.json.encode(detail).decode())
                continue
            issue = detail.issue
            for one in reversed(detail.occurrences):
                fields = msgspec.to_builtins(one)
                del fields["number"]
                fields |= {
                    "id": f"{issue.id}-{one.number}", "kind": issue.kind,
                    "component": issue.component, "severity": issue.severity,
                    "category": issue.category, "tags": issue.tags,
                    "fingerprint": issue.fingerprint,
                }  # fmt: skip
                click.echo(msgspec.json.encode(fields).decode())


def _show(found: Analysis) -> None:
    say(f"{found.events} events of {found.issues} issues in {found.hours} hours")
    _rated("most events", found.top)
    _rated("new", found.new)
    _rated("came back", found.regressed)
    _rated("rising", found.rising)
    if found.spiking:
        _heading("spiking")
        rows = [
            (s.issue.id, s.issue.component, s.issue.latest, f"{s.expected:.2f}", f"{s.chance:.1e}",
             s.issue.title[:70])
            for s in found.spiking[:_LINES]
        ]  # fmt: skip
        table(["id", "component", "last hour", "expected", "chance", "title"], rows)
    if found.together:
        _heading("fail together")
        pairs = [
            (p.one, p.other, p.together, f"{p.expected:.2f}", f"{p.chance:.1e}")
            for p in found.together[:_LINES]
        ]
        table(["component", "and", "times", "expected", "chance"], pairs)
    if found.generations:
        _heading("NixOS generations")
        made = [
            (g.host, g.generation, f"{g.at:%F %T}", g.new, g.before, g.after)
            for g in found.generations
        ]
        table(["host", "generation", "made", "new issues", "day before", "day after"], made)
    if found.quiet:
        _heading("quiet: to be closed?")
        quiet = [(q.id, q.component, q.count, f"{q.last_seen:%F}", q.title[:70])
                 for q in found.quiet[:_LINES]]  # fmt: skip
        table(["id", "component", "count", "last seen", "title"], quiet)


def _heading(text: str) -> None:
    click.echo()
    click.echo(click.style(text, bold=True))


def _rated(heading: str, found: list[Rated]) -> None:
    if found:
        _heading(heading)
        rows = [
            (r.id, r.severity, r.component, r.events, r.latest, f"{r.per_hour:.2f}", r.trend,
             r.title[:70])
            for r in found[:_LINES]
        ]  # fmt: skip
        headings = ["id", "severity", "component", "events", "last hour", "an hour", "trend"]
        table([*headings, "title"], rows)


def _tell(one: Suggestion) -> None:
    click.echo(click.style(one.what, bold=True))
    click.echo(f"  because  {one.evidence}")
    click.echo(f"  do       {one.advice}")
    if one.runbook:
        click.echo(f"  read     {one.runbook}")
    click.echo()
