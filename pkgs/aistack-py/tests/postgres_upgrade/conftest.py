"""Machines with an older cluster, each test its own."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from two_majors import Machine, at, make

_MEMORY = Path("/dev/shm")  # noqa: S108 - only looked at


def _home() -> Path:
    # Not pytest's folder: its name can be too long for a socket. In memory, where there is enough:
    # an upgrade syncs a lot, and no test here takes the power away.
    enough = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 4 * 2**30
    return Path(tempfile.mkdtemp(prefix="aistack-two-", dir=_MEMORY if enough else None))


@pytest.fixture(scope="session")
def origin() -> Iterator[Machine]:
    """A machine that is only copied."""
    home = _home()
    yield make(home)
    shutil.rmtree(home)


@pytest.fixture
def machine(origin: Machine) -> Iterator[Machine]:
    """A copy of it; nothing runs."""
    home = _home()
    subprocess.run(["cp", "-a", f"{origin.home}/.", home], check=True)
    copy = at(home)
    yield copy
    copy.upgrader().tidy()
    copy.stop()
    shutil.rmtree(home)
