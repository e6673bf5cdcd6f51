"""Checks and describes the settings file."""

from pathlib import Path

import click

from aistack.cli.context import command, config_file
from aistack.cli.render import as_json, say
from aistack.settings.load import json_schema, load


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
    load(path)
    say(f"{path}: ok")


@config.command("schema")
@command
async def schema() -> None:
    """Print the JSON Schema of the settings file."""
    as_json(json_schema())
