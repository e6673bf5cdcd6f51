"""Output: tables for people, JSON for programs; data on stdout, talk on stderr."""

from collections.abc import Sequence
from typing import Any

import click
import msgspec


def as_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns, as wide as their widest cell."""
    cells = [[str(c) if c is not None else "-" for c in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    for number, row in enumerate([list(headings), *cells]):
        line = "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 else line)


def say(text: str) -> None:
    """Talk to a person; never mixed into what a program reads."""
    click.echo(text, err=True)
