"""Ways into the issue tracker: one event, a failed unit, a file of them."""

import sys
from pathlib import Path
from typing import Any, TextIO

import click
import msgspec

from aistack.cli import exits
from aistack.cli.context import command, json_option, settings_of
from aistack.cli.render import as_json, say
from aistack.errors import ConfigError, ConflictError, InvalidError, UnavailableError
from aistack.issues.model import CATEGORIES, SEVERITIES, Event
from aistack.issues.recorder import Recorder, redactor_of, spool_of
from aistack.issues.store import Issues
from aistack.issues.systemd import failure
from aistack.issues.tracker import open_tracker
from aistack.settings.schema import Settings

_BATCH = 500


@click.command("record")
@click.argument("message", required=False)
@click.option("--kind", default="message", show_default=True, help="Class of error.")
@click.option("--component", default="unknown", show_default=True)
@click.option("--severity", type=click.Choice(SEVERITIES), default="medium", show_default=True)
@click.option("--category", type=click.Choice(CATEGORIES), help="[default: by the message].")
@click.option("--tag", "tags", multiple=True)
@click.option("--context", multiple=True, metavar="KEY=VALUE", help="Repeatable.")
@click.option("--stack", type=click.File(), help="File with a traceback or log; - is stdin.")
@click.option("--request-id")
@click.option("--fingerprint", help="Group by this instead of what we would.")
@click.option("--unit", help="Record that this systemd unit failed, with its journal's end.")
@click.option("--unit-result", envvar="MONITOR_SERVICE_RESULT", hidden=True)
@click.option("--unit-exit-code", envvar="MONITOR_EXIT_CODE", hidden=True)
@click.option("--unit-exit-status", envvar="MONITOR_EXIT_STATUS", hidden=True)
@click.option("--unit-invocation", envvar="MONITOR_INVOCATION_ID", hidden=True)
@json_option
@click.pass_context
@command
async def record(
    ctx: click.Context,
    /,
    message: str | None,
    context: tuple[str, ...],
    stack: TextIO | None,
    unit: str | None,
    json_: bool,
    **given: Any,
) -> None:
    """Record one event. While PostgreSQL is away it waits in the spool."""
    of_unit = {name: given.pop(f"unit_{name}") for name in
               ("result", "exit_code", "exit_status", "invocation")}  # fmt: skip
    if (message is None) == (unit is None):
        raise InvalidError("give a MESSAGE, or --unit NAME")
    if unit is not None:
        event = failure(unit, **of_unit)
    else:
        pairs = [pair.partition("=") for pair in context]
        if wrong := [key for key, equals, _ in pairs if not equals]:
            raise InvalidError(f"--context {wrong[0]}: write KEY=VALUE")
        event = Event(
            message=message or "",
            source="command",
            context={key: value for key, _, value in pairs},
            stack=stack.read() if stack else "",
            **given,
        )
    issue, told = await _record(settings_of(ctx), event)
    if json_:
        as_json({"issue": issue})
    else:
        say(told)


async def _record(settings: Settings, event: Event) -> tuple[int | None, str]:
    """Into the spool first: what happens now is safe, whatever happens then.

    Returns:
        The issue, if it is known yet, and what became of the event in words.
    """
    spool = spool_of(settings)
    if spool is None:
        async with open_tracker(settings) as tracker:
            prepared = tracker.recorder.prepare(event)
            await tracker.recorder.record([prepared])
            return _as(await tracker.issues.find(prepared))
    recorder = Recorder(redactor_of(settings), spool)
    prepared = recorder.prepare(event)
    recorder.spool([prepared])
    try:
        async with open_tracker(settings) as tracker:
            if await tracker.drain() is None:
                return None, "the event is in the spool: another process stores it now"
            return _as(await tracker.issues.find(prepared))
    except UnavailableError:
        return None, "the event waits in the spool: it is stored when the database answers"
    except (ConfigError, ConflictError) as exc:
        # A database of a newer generation, say: what failed here is told there.
        return None, f"the event waits in the spool for a service that can store it: {exc.detail}"


def _as(issue: int | None) -> tuple[int | None, str]:
    if issue is None:
        # Only where a writer held the newest segment just now.
        return None, "the event is in the spool: the next round stores it"
    return issue, f"recorded as issue {issue}: aistack issues show {issue}"


@click.command("drain")
@click.pass_context
@command
async def drain(ctx: click.Context) -> None:
    """Store what waits in this host's spool; the services do so by themselves."""
    async with open_tracker(settings_of(ctx)) as tracker:
        stored = await tracker.drain()
    if stored is None:
        say("another process stores it now")
    else:
        say(f"{stored} events were stored")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True, exists=True))
@click.pass_context
@command
async def import_issues(ctx: click.Context, file: Path) -> int:
    """Record events of a file of JSON lines, as `issues export --events` writes them.

    Nobody is told of them. A line that is none is named, skipped, and gives exit code 3.
    """
    decoder = msgspec.json.Decoder(Event)
    stored = skipped = 0
    async with open_tracker(settings_of(ctx)) as tracker:
        lines = sys.stdin.buffer if str(file) == "-" else file.open("rb")
        with lines:
            batch: list[Event] = []
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    batch.append(tracker.recorder.prepare(decoder.decode(line), here=False))
                except msgspec.MsgspecError as exc:
                    skipped += 1
                    say(f"line {number} is skipped: {exc}")
                if len(batch) == _BATCH:
                    stored += await _stored(tracker.issues, batch)
            stored += await _stored(tracker.issues, batch)
    say(f"{stored} events recorded, {skipped} lines skipped")
    return exits.PARTIAL if skipped else exits.OK


async def _stored(issues: Issues, batch: list[Event]) -> int:
    number = len(batch)
    # They are of the past: nobody is to be called for them.
    await issues.ingest(batch, tell=False)
    batch.clear()
    return number
