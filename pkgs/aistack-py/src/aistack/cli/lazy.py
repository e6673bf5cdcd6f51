"""Groups that load a command when it is called: not every one needs every store's client."""

from collections.abc import Mapping
from importlib import import_module

import click


def lazy(commands: Mapping[str, str]) -> type[click.Group]:
    """A class of groups.

    Args:
        commands: name to ``module:attribute``, in the order of the help.
    """

    class Lazy(click.Group):
        def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
            return list(commands)

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
            where = commands.get(cmd_name)
            if where is None:
                return None
            module, attribute = where.split(":")
            found: click.Command = getattr(import_module(module), attribute)
            return found

    return Lazy
