"""Output: tables for people, JSON for programs; data on stdout, talk on stderr."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import click
import msgspec


def as_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def as_csv(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print CSV (RFC 4180); lists are joined by spaces, nothing is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    click.echo(out.getvalue(), nl=False)


def _cell(value: object) -> object:
    if isinstance(value, str) and value[:1] in _FORMULA:
        return "'" + value  # a spreadsheet would run it
    return " ".join(map(str, value)) if isinstance(value, list) else value


_FORMULA = ("=", "+", "-", "@")


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
