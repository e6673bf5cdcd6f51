"""Rules of the house: each has a check."""

import importlib
import pkgutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import aistack
from aistack.cli import backup, main

SOURCE = Path(aistack.__file__).parent
MOST_LINES = 400


def test_no_file_is_two_rooms() -> None:
    long = {
        p.name: n
        for p in SOURCE.rglob("*.py")
        if (n := len(p.read_text().splitlines())) > MOST_LINES
    }
    assert not long


def test_importing_everything_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket at import")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for module in pkgutil.walk_packages([str(SOURCE)], "aistack."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def test_who_asks_no_index_does_not_wait_for_its_client() -> None:
    """qdrant-client takes longer to import than all else, at each start of a unit."""
    with_index = {"up", "serve", "mcp", "ingest", "query", "reindex", "gc", "restore-index"}
    commands = main._COMMANDS | backup._COMMANDS
    modules = {commands[name].partition(":")[0] for name in commands.keys() - with_index}
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert 'qdrant_client' not in sys.modules, name\n"
    )
    command = [sys.executable, "-c", program, *sorted(modules)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_only_the_settings_read_the_environment() -> None:
    allowed = {"settings/load.py", "kit/notify.py", "kit/process.py", "cli/serve.py"}
    found = {
        str(p.relative_to(SOURCE)) for p in SOURCE.rglob("*.py") if "os.environ" in p.read_text()
    }
    assert found <= allowed
