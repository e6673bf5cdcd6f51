"""A manual page for each command: aistack(1), aistack-keys(1), aistack-keys-create(1)."""

from collections.abc import Iterator

import click

from aistack.cli import exits
from aistack.cli.manual.roff import bold, escaped, italic, item, page, prose, title

_FILES = {"/etc/aistack/config.toml": "Read where neither --config nor $AISTACK_CONFIG names one."}


def command_pages(root: click.Command) -> dict[str, str]:
    """File name to text of the pages of all commands that are not hidden."""
    whole = click.Context(root, info_name="aistack", **root.context_settings)
    return {f"{_name(ctx)}.1": _page(ctx) for ctx in _contexts(whole)}


def _contexts(ctx: click.Context) -> Iterator[click.Context]:
    yield ctx
    for child in _children(ctx):
        yield from _contexts(child)


def _children(ctx: click.Context) -> list[click.Context]:
    group = ctx.command
    if not isinstance(group, click.Group):
        return []
    found = [(name, group.get_command(ctx, name)) for name in group.list_commands(ctx)]
    return [
        click.Context(command, info_name=name, parent=ctx)
        for name, command in found
        if command is not None and not command.hidden
    ]


def _name(ctx: click.Context) -> str:
    return ctx.command_path.replace(" ", "-")


def _short(command: click.Command) -> str:
    return command.get_short_help_str(limit=200).rstrip(".")


def _page(ctx: click.Context) -> str:
    command, children = ctx.command, _children(ctx)
    options = [
        record
        for parameter in command.get_params(ctx)
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx))
    ]
    usage = " ".join(command.collect_usage_pieces(ctx))
    above = [_name(ctx.parent)] if ctx.parent else []
    others = [*above, *(_name(child) for child in children)]
    return page(
        title(_name(ctx), 1),
        ".SH NAME",
        f"{escaped(_name(ctx))} \\- {escaped(_short(command))}",
        ".SH SYNOPSIS",
        f"{bold(ctx.command_path)} {italic(usage)}",
        ".SH DESCRIPTION",
        prose(command.help or ""),
        ".SH OPTIONS",
        *(item(bold(names), text) for names, text in options),
        ".SH COMMANDS" if children else "",
        *(item(bold(str(child.info_name)), _short(child.command)) for child in children),
        *(() if ctx.parent else _whole()),
        ".SH SEE ALSO",
        ",\n".join([*(f"{bold(other)}(1)" for other in others), f"{bold('aistack.toml')}(5)"]),
    )


def _whole() -> Iterator[str]:
    """What holds for all commands, told once."""
    yield ".SH EXIT STATUS"
    yield prose(exits.HELP)
    yield ".SH FILES"
    for name, text in _FILES.items():
        yield item(bold(name), text)
