"""Backups: make, list, keep, prove."""

import click

from aistack.cli.lazy import lazy

_HERE = "aistack.cli.backup"
_COMMANDS = {
    "run": f"{_HERE}.make:run_",
    "list": f"{_HERE}.look:list_",
    "show": f"{_HERE}.look:show",
    "plan": f"{_HERE}.look:plan",
    "expire": f"{_HERE}.make:expire",
    "verify": f"{_HERE}.prove:verify",
    "drill": f"{_HERE}.prove:drill",
    "status": f"{_HERE}.look:status",
    "key-generate": f"{_HERE}.key:key_generate",
    "key-check": f"{_HERE}.key:key_check",
    "archive-push": f"{_HERE}.wal:archive_push",
    "archive-get": f"{_HERE}.wal:archive_get",
    "restore-index": f"{_HERE}.hooks:restore_index",
}


@click.group(cls=lazy(_COMMANDS))
def backup() -> None:
    """Back up PostgreSQL and the index, and prove that they can be restored."""
