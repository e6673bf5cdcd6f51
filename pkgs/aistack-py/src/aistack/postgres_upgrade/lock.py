"""One upgrade at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aistack.errors import ConfigError
from aistack.kit import flock


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder of the data folders.

    Raises:
        ConfigError: there is no such folder.
        ConflictError: another upgrade is at work.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise ConfigError(f"postgres_upgrade.data_dir: {folder}: {exc.strerror}") from exc
    with flock.held(handle, "another upgrade is at work"):
        yield
