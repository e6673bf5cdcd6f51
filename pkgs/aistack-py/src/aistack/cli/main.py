"""The command ``aistack``: one group, its commands in files by what they are for."""

from pathlib import Path

import click

from aistack import __version__
from aistack.cli import exits
from aistack.cli.lazy import lazy

_COMMANDS = {
    "up": "aistack.cli.up:up",
    "serve": "aistack.cli.serve:serve",
    "mcp": "aistack.cli.serve:mcp",
    "ingest": "aistack.cli.jobs:ingest",
    "query": "aistack.cli.look:query",
    "reindex": "aistack.cli.jobs:reindex",
    "gc": "aistack.cli.gc:gc",
    "issues": "aistack.cli.issues:issues",
    "backup": "aistack.cli.backup:backup",
    "restore": "aistack.cli.restore:restore",
    "postgres": "aistack.cli.postgres:postgres",
    "health": "aistack.cli.health:health",
    "tls": "aistack.cli.tls:tls",
    "migrate": "aistack.cli.migrate:migrate",
    "keys": "aistack.cli.keys:keys",
    "config": "aistack.cli.config:config",
    "mixin": "aistack.cli.mixin:mixin",
    "manual": "aistack.cli.manual:manual",
}


@click.group(
    cls=lazy(_COMMANDS),
    epilog=exits.HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="aistack")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file [default: $AISTACK_CONFIG, else /etc/aistack/config.toml].",
)
def main(config: Path | None) -> None:
    """Knowledge base and hybrid search over HTTP and MCP.

    Shell completion: eval "$(_AISTACK_COMPLETE=bash_source aistack)" (or zsh_source, fish_source).
    """
