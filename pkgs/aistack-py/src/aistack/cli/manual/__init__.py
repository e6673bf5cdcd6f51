"""``aistack manual``: the manual pages, made from the commands and the settings themselves."""

from pathlib import Path

import click

from aistack.cli.manual.commands import command_pages
from aistack.cli.manual.settings import settings_page


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.pass_context
def manual(ctx: click.Context, folder: Path) -> None:
    """Write the manual pages below FOLDER, for man -M FOLDER."""
    root = ctx.find_root().command
    pages = {**command_pages(root), "aistack.toml.5": settings_page()}
    for name, text in pages.items():
        path = folder / f"man{name[-1]}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    click.echo(f"{len(pages)} pages below {folder}")
