"""What every command shares: the settings, the one event loop, the one error boundary."""

import asyncio
import functools
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec

import click

from aistack.cli.exits import exit_code
from aistack.errors import AistackError
from aistack.settings.load import config_path, load
from aistack.settings.schema import Settings

P = ParamSpec("P")

json_option = click.option("--json", "json_", is_flag=True, help="Print JSON for programs.")


def settings_of(ctx: click.Context) -> Settings:
    """The settings of --config, $AISTACK_CONFIG or /etc/aistack/config.toml."""
    return load(config_file(ctx))


def config_file(ctx: click.Context) -> Path:
    """Where the settings are read from."""
    given: Path | None = ctx.find_root().params.get("config")
    return config_path(given)


def command(function: Callable[P, Coroutine[Any, Any, int | None]]) -> Callable[P, None]:
    """Run an async command to its exit code; an `AistackError` is one line on stderr."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        logging.basicConfig(level=logging.WARNING, format="aistack: %(message)s")
        with error_boundary():
            sys.exit(asyncio.run(function(*args, **kwargs)) or 0)

    return run


@contextmanager
def error_boundary() -> Iterator[None]:
    """Turn an `AistackError` into one line on stderr and its exit code; leave bugs as they are."""
    try:
        yield
    except AistackError as exc:
        click.echo(f"aistack: {exc.detail}", err=True)
        sys.exit(exit_code(exc))
    except KeyboardInterrupt:
        sys.exit(130)
