"""Rules of the house: each has a check."""

import importlib
import pkgutil
import socket
from pathlib import Path

import pytest

import aistack

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


def test_only_the_settings_read_the_environment() -> None:
    allowed = {"settings/load.py", "kit/notify.py", "kit/process.py", "cli/serve.py"}
    found = {
        str(p.relative_to(SOURCE)) for p in SOURCE.rglob("*.py") if "os.environ" in p.read_text()
    }
    assert found <= allowed
