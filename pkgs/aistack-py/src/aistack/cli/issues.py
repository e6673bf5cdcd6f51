"""The issue tracker: lists, shows and changes issues."""

from datetime import datetime
from typing import Any

import click
import msgspec

from aistack.cli.context import command, json_option, settings_of
from aistack.cli.issues_look import analyze, export, suggest
from aistack.cli.issues_record import drain, import_issues, record
from aistack.cli.numbers import COUNT, GENERATION, ID
from aistack.cli.render import as_csv, as_json, say, table
from aistack.cli.times import ahead, moment
from aistack.errors import InvalidError
from aistack.issues.model import (
    CATEGORIES,
    SEVERITIES,
    STATUSES,
    Issue,
    IssueChange,
    IssueDetail,
    IssueFilter,
)
from aistack.issues.tracker import open_tracker

_ACTOR = "local"
_HEADINGS = ("id", "status", "severity", "category", "component", "count", "last seen", "title")
_SHOWN = 5
_id = click.argument("issue", type=ID)


@click.group()
def issues() -> None:
    """Track what goes wrong: record, look, resolve, explain."""


for _command in (record, drain, import_issues, export, analyze, suggest):
    issues.add_command(_command)


@issues.command("list")
@click.option(
    "--status", type=click.Choice(["active", "any", *STATUSES]), default="active", show_default=True
)
@click.option("--severity", type=click.Choice(SEVERITIES))
@click.option("--category", type=click.Choice(CATEGORIES))
@click.option("--component")
@click.option("--kind", help="Class of the exception, unit, alert or message.")
@click.option("--assignee")
@click.option("--tag")
@click.option("--host", help="Seen last on this host.")
@click.option("--generation", type=GENERATION, help="Seen last in this NixOS generation.")
@click.option("--first-generation", type=GENERATION, help="Seen first in this one.")
@click.option("--min-count", type=COUNT, help="At least so many occurrences.")
@click.option("--regressed", is_flag=True, help="Only those that came back.")
@click.option("--pinned", is_flag=True, help="Only those that eviction leaves alone.")
@click.option("--fingerprint", help="As `show` prints it.")
@click.option("--text", help="A part of the title.")
@click.option("--since", type=moment, help="Seen last since: 2h, 7d, or a date.")
@click.option("--until", type=moment, help="Seen last before.")
@click.option("--new-since", type=moment, help="Seen first since.")
@click.option("--new-until", type=moment, help="Seen first before.")
@click.option("--resolved-since", type=moment, help="Resolved since; no --status is needed.")
@click.option("--resolved-until", type=moment, help="Resolved before; likewise.")
@click.option("--muted-until", type=ahead, help="Muted, but not beyond 2h, 7d or a date; likewise.")
@click.option("--duplicate-of", type=ID, help="The same as this issue; likewise.")
@click.option("--limit", "-n", type=click.IntRange(1, 500), default=50, show_default=True)
@click.option("--cursor", help="next_cursor of the page before.")
@click.option("--csv", "csv_", is_flag=True, help="Print CSV for programs.")
@json_option
@click.pass_context
@command
async def list_issues(ctx: click.Context, /, csv_: bool, json_: bool, **given: Any) -> None:
    """List issues, the one seen last first."""
    wanted = IssueFilter(**given)
    async with open_tracker(settings_of(ctx)) as tracker:
        page = await tracker.issues.list(wanted)
    if json_:
        as_json(page)
    elif csv_:
        names = Issue.__struct_fields__
        as_csv(names, [[getattr(issue, name) for name in names] for issue in page.issues])
    else:
        show_issues(page.issues)
        if page.has_more:
            say(f"there are more: --cursor {page.next_cursor}")


@issues.command("show")
@_id
@json_option
@click.pass_context
@command
async def show(ctx: click.Context, issue: int, json_: bool) -> None:
    """Show an issue with its newest occurrences, links and history."""
    async with open_tracker(settings_of(ctx)) as tracker:
        detail = await tracker.issues.get(issue)
    if json_:
        as_json(detail)
    else:
        _show_detail(detail)


@issues.command("resolve")
@_id
@click.option("--resolution", "-m", help="What was done.")
@click.option(
    "--in-generation",
    type=GENERATION,
    help="The NixOS generation that mends it: older ones do not reopen it.",
)
@click.option("--wont-fix", is_flag=True, help="It stays as it is, and is never reopened.")
@click.pass_context
@command
async def resolve(
    ctx: click.Context,
    issue: int,
    resolution: str | None,
    in_generation: int | None,
    wont_fix: bool,
) -> None:
    """End an issue; if it comes back, it is opened again as a regression."""
    change = IssueChange(
        status="wont_fix" if wont_fix else "resolved",
        resolution=resolution,
        in_generation=in_generation,
    )
    await _change(ctx, issue, change)


@issues.command("reopen")
@_id
@click.option("--status", type=click.Choice(["open", "investigating", "in_progress"]),
              default="open", show_default=True)  # fmt: skip
@click.pass_context
@command
async def reopen(ctx: click.Context, issue: int, status: str) -> None:
    """Open an issue again, or say how far the work on it is."""
    await _change(ctx, issue, msgspec.convert({"status": status}, IssueChange))


@issues.command("assign")
@_id
@click.argument("assignee", default="")
@click.pass_context
@command
async def assign(ctx: click.Context, issue: int, assignee: str) -> None:
    """Say who works on it; without a name: nobody."""
    await _change(ctx, issue, IssueChange(assignee=assignee))


@issues.command("mute")
@_id
@click.option("--until", type=ahead, help="2h, 7d, or a date [default: for good].")
@click.option("--until-count", type=COUNT, help="Until so many occurrences in all.")
@click.pass_context
@command
async def mute(
    ctx: click.Context, issue: int, until: datetime | None, until_count: int | None
) -> None:
    """Count an issue on, but do not show or tell of it."""
    await _change(
        ctx, issue, IssueChange(status="muted", muted_until=until, muted_until_count=until_count)
    )


@issues.command("link")
@_id
@click.argument("target", required=False)
@click.option("--duplicate-of", type=ID, help="It is the same as this issue.")
@click.option("--pin/--unpin", default=None, help="Whether eviction leaves it alone.")
@click.pass_context
@command
async def link(
    ctx: click.Context, issue: int, target: str | None, duplicate_of: int | None, pin: bool | None
) -> None:
    """Add a URL or a note to an issue, or say that it is another one."""
    change = IssueChange(
        link=target,
        status="duplicate" if duplicate_of else None,
        duplicate_of=duplicate_of,
        pinned=pin,
    )
    await _change(ctx, issue, change)


async def _change(ctx: click.Context, issue: int, change: IssueChange) -> None:
    # Also checks what click cannot: lengths.
    plain = msgspec.to_builtins(change, builtin_types=(datetime,))
    try:
        checked = msgspec.convert(plain, IssueChange)
    except msgspec.ValidationError as exc:
        raise InvalidError(str(exc)) from exc
    async with open_tracker(settings_of(ctx)) as tracker:
        now = await tracker.issues.change(issue, checked, _ACTOR)
    say(f"issue {now.id} is {now.status}: {now.title}")


def show_issues(found: list[Issue]) -> None:
    """Print issues as a table."""
    rows = [
        (i.id, _status(i), i.severity, i.category, i.component, i.count, f"{i.last_seen:%F %T}",
         i.title[:80])
        for i in found
    ]  # fmt: skip
    table(_HEADINGS, rows)


def _status(issue: Issue) -> str:
    back = issue.regressions and issue.resolved_at is None
    return f"{issue.status} (came back)" if back else issue.status


def _show_detail(detail: IssueDetail) -> None:
    issue = detail.issue
    facts = [
        ("title", issue.title), ("status", _status(issue)), ("severity", issue.severity),
        ("category", issue.category), ("component", issue.component), ("kind", issue.kind),
        ("count", issue.count), ("first seen", f"{issue.first_seen:%F %T %Z}"),
        ("last seen", f"{issue.last_seen:%F %T %Z}, on {issue.last_host}"),
        ("generations", f"{issue.first_generation or '-'} to {issue.last_generation or '-'}"),
        ("regressions", issue.regressions), ("assignee", issue.assignee),
        ("resolution", issue.resolution), ("duplicate of", issue.duplicate_of),
        ("tags", ", ".join(issue.tags) or None), ("pinned", "yes" if issue.pinned else "no"),
        ("fingerprint", issue.fingerprint),
    ]  # fmt: skip
    table([f"issue {issue.id}", ""], facts)
    for target in detail.links:
        click.echo(f"link  {target}")
    for occurrence in detail.occurrences[:_SHOWN]:
        click.echo()
        where = f"{occurrence.at:%F %T %Z}  {occurrence.host}"
        if occurrence.request_id:
            where += f"  request {occurrence.request_id}"
        click.echo(click.style(f"#{occurrence.number}  {where}", bold=True))
        click.echo(occurrence.message)
        for key, value in occurrence.context.items():
            click.echo(f"  {key}: {value}")
        if occurrence.stack:
            click.echo("  " + occurrence.stack.rstrip().replace("\n", "\n  "))
    if detail.history:
        click.echo()
        rows = [(f"{h.at:%F %T}", h.event, h.actor, h.detail) for h in detail.history]
        table(["at", "event", "by", ""], rows)
