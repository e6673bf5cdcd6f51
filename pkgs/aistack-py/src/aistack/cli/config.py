"""Checks and describes the settings file."""

from pathlib import Path

import click

from aistack.cli.context import command, config_file
from aistack.cli.render import as_json, say
from aistack.errors import ConfigError
from aistack.limits.identity import Proxies
from aistack.settings.load import json_schema, load
from aistack.settings.schema import RateLimits, Settings
from aistack.stores.postgres import check_dsn
from aistack.stores.redis import check_url


@click.group("config")
def config() -> None:
    """Check and describe the settings file."""


@config.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.pass_context
@command
async def check(ctx: click.Context, file: Path | None) -> None:
    """Check a settings file without starting anything (secrets are not read)."""
    path = file or config_file(ctx)
    settings = load(path)
    try:
        _as_the_parts_read_them(settings)
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc.detail}") from exc
    say(f"{path}: ok")


@config.command("schema")
@command
async def schema() -> None:
    """Print the JSON Schema of the settings file."""
    as_json(json_schema())


def _as_the_parts_read_them(settings: Settings) -> None:
    """Raise what a service would, so that it fails a build and not a start."""
    check_dsn(settings.postgres.dsn, "postgres.dsn")
    check_dsn(settings.backup.dsn, "backup.dsn")
    if settings.redis.url is not None:
        check_url(settings.redis.url)
    Proxies(settings.rate_limits.trusted_proxies)
    if settings.rate_limits.deny_without_redis:
        _check_routes(settings.rate_limits)


def _check_routes(limits: RateLimits) -> None:
    # Imported here: the whole API is as much as all other checks of all other files.
    from aistack.api.app import all_endpoints
    from aistack.api.limits import Routes

    Routes(all_endpoints("aidb"), limits, elsewhere=all_endpoints("coordinator"))
