"""The certificate that nginx serves."""

from datetime import UTC, datetime
from pathlib import Path

import click

from aistack.cli import exits
from aistack.cli.context import command, json_option, settings_of
from aistack.cli.render import as_json, say, table
from aistack.errors import AistackError
from aistack.health.model import Status
from aistack.host.model import EXIT_CODES, State
from aistack.tls.folder import KEY, read_pair
from aistack.tls.keeper import Keeper, Result
from aistack.tls.record import recorded
from aistack.tls.report import Report, of_host, of_server

_STATES: dict[Status, State] = {"pass": "ok", "warn": "warning", "fail": "critical"}
_SEVERITY: tuple[Status, ...] = ("pass", "warn", "fail")
_KEYS = (KEY, "key.pem")
"""As certbot calls it, and as lego does."""
_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@click.group()
def tls() -> None:
    """Look at, renew and deploy the certificate that nginx serves (section tls of the settings)."""


@tls.command()
@json_option
@click.pass_context
@command
async def status(ctx: click.Context, json_: bool) -> int:
    """Tell what is deployed, whether it is served, and when it is renewed.

    Exit codes as monitoring plug-ins have them: 0 ok, 1 warning, 2 critical, 3 unknown.
    """
    settings = settings_of(ctx).tls
    keeper = Keeper(settings)
    try:
        report = await of_host(settings, keeper)
    except AistackError as exc:
        say(f"aistack: {exc.detail}")
        return EXIT_CODES["unknown"]
    return _tell(report, json_=json_)


@tls.command()
@click.argument("host", metavar="HOST[:PORT]")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Authorities to trust in place of the system's.")  # fmt: skip
@json_option
@command
async def check(host: str, ca: Path | None, json_: bool) -> int:
    """Look at the certificate that a server shows, as a client of it sees it.

    NAME@HOST asks HOST for NAME. Exit codes as those of status.
    """
    try:
        report = await of_server(host, ca, datetime.now(UTC))
    except AistackError as exc:
        say(f"aistack: {exc.detail}")
        return EXIT_CODES["critical"]
    return _tell(report, json_=json_)


@tls.command()
@_dry_run
@json_option
@click.pass_context
@command
async def renew(ctx: click.Context, dry_run: bool, json_: bool) -> int:
    """Obtain a new certificate where one is due, and deploy it.

    Due is what has a third of its lifetime left (tls.renew_at), and what is not of the names that
    the settings ask for. Where others renew, it deploys what they have left.
    """
    settings = settings_of(ctx)
    keeper = Keeper(settings.tls)
    if dry_run:
        return _done(await keeper.renew(dry_run=True), json_=json_)
    async with recorded(settings.postgres, "tls_renew") as run:
        result = await keeper.renew()
        run.detail |= {"outcome": result.outcome, "reason": result.reason}
    return _done(result, json_=json_)


@tls.command()
@click.option("--from", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="A folder with fullchain.pem, and privkey.pem or key.pem.")  # fmt: skip
@_dry_run
@json_option
@click.pass_context
@command
async def deploy(ctx: click.Context, folder: Path | None, dry_run: bool, json_: bool) -> int:
    """Let nginx serve what the provider has left, or the certificate in a folder.

    nginx tests it before it is swapped in; what is served is looked at afterwards. If anything of
    it fails, the old certificate goes on being served.
    """
    settings = settings_of(ctx)
    keeper = Keeper(settings.tls)
    given = read_pair(folder, *_KEYS) if folder is not None else None
    if dry_run:
        return _done(await keeper.deploy(given, dry_run=True), json_=json_)
    async with recorded(settings.postgres, "tls_deploy") as run:
        result = await keeper.deploy(given)
        run.detail |= {"outcome": result.outcome, "reason": result.reason}
    return _done(result, json_=json_)


def _done(result: Result, *, json_: bool) -> int:
    if json_:
        as_json(result)
    else:
        say(result.outcome + (f": {result.reason}" if result.reason else ""))
    return exits.OK


def _tell(report: Report, *, json_: bool) -> int:
    worst = max((v.status for v in report.verdicts), key=_SEVERITY.index)
    state = _STATES[worst]
    if json_:
        as_json({"state": state, "certificate": report})
        return EXIT_CODES[state]
    click.echo(f"{state.upper()}: {report.subject}")
    if report.ends is not None:
        due = f", renewed from {report.renewed_from:%F %H:%M}" if report.renewed_from else ""
        click.echo(
            f"by {report.issuer}, {report.begins:%F %H:%M} to {report.ends:%F %H:%M}{due} UTC"
        )
    rows = [(_STATES[v.status], v.check, v.told) for v in report.verdicts]
    table(["state", "check", "what is known"], rows)
    return EXIT_CODES[state]
