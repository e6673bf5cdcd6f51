"""The state of the host at a glance."""

import asyncio
import time

import click

from aistack.cli.context import command, json_option, settings_of
from aistack.cli.render import as_json, say, table
from aistack.host.look import look
from aistack.host.model import EXIT_CODES, Finding, State, worst

_PAUSE_S = 1.0
_COLOURS: dict[State, str] = {
    "ok": "green", "warning": "yellow", "critical": "red", "unknown": "magenta",
}  # fmt: skip


@click.command()
@click.option("--wait", type=click.IntRange(1), metavar="S", help="Wait so long until all is ok.")
@json_option
@click.pass_context
@command
async def health(ctx: click.Context, wait: int | None, json_: bool) -> int:
    """Look at units, timers, services, jobs, ports, certificates and disks of this host.

    What belongs to it stands in the settings' section host. Exit codes as monitoring plug-ins have
    them: 0 ok, 1 warning, 2 critical, 3 unknown.
    """
    settings = settings_of(ctx)
    until = time.monotonic() + (wait or 0)
    while True:
        findings = await look(settings)
        state = worst(findings)
        if state == "ok" or time.monotonic() + _PAUSE_S > until:
            break
        await asyncio.sleep(_PAUSE_S)
    if json_:
        as_json({"state": state, "findings": findings})
    else:
        _show(state, findings)
    return EXIT_CODES[state]


def _show(state: State, findings: list[Finding]) -> None:
    if not findings:
        say("the settings name nothing to look at (section host)")
    bad = sum(finding.state != "ok" for finding in findings)
    told = f"{bad} of {len(findings)} are not" if bad else f"all {len(findings)}"
    click.secho(f"{state.upper()}: {told} ok", fg=_COLOURS[state], bold=True)
    table(
        ["state", "kind", "name", "what is known"],
        [(f.state, f.kind, f.name, f.told) for f in findings],
    )
