"""The command ``aistack``: one group, its commands in files by what they are for."""

from importlib import import_module
from pathlib import Path

import click

from aistack import __version__
from aistack.cli import exits

_COMMANDS = {
    "up": "aistack.cli.up",
    "serve": "aistack.cli.serve",
    "mcp": "aistack.cli.serve",
    "ingest": "aistack.cli.jobs",
    "query": "aistack.cli.look",
    "reindex": "aistack.cli.jobs",
    "gc": "aistack.cli.gc",
    "issues": "aistack.cli.issues",
    "health": "aistack.cli.health",
    "tls": "aistack.cli.tls",
    "migrate": "aistack.cli.migrate",
    "keys": "aistack.cli.keys",
    "config": "aistack.cli.config",
}


class _Lazy(click.Group):
    """Loads a command's module when it is called: not every one needs every store's client."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All names, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, or None if there is no such."""
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        found: click.Command = getattr(import_module(module), cmd_name)
        return found


@click.group(cls=_Lazy, epilog=exits.HELP, context_settings={"help_option_names": ["-h", "--help"]})
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
