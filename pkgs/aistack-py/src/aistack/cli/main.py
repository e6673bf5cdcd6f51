"""The command ``aistack``: one group, its commands in files by what they are for."""

from pathlib import Path

import click

from aistack import __version__
from aistack.cli import exits, jobs, keys, look, up
from aistack.cli.serve import mcp, serve


@click.group(epilog=exits.HELP, context_settings={"help_option_names": ["-h", "--help"]})
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


for one in (
    up.up,
    serve,
    mcp,
    jobs.ingest,
    jobs.migrate,
    jobs.reindex,
    look.query,
    keys.keys,
    look.config,
):
    main.add_command(one)
