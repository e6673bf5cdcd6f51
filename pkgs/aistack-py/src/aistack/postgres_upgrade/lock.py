"""One upgrade at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aistack.errors import ConfigError, ConflictError


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder of the data folders; the kernel lets it go when its holder dies.

    Raises:
        ConfigError: there is no such folder.
        ConflictError: another upgrade is at work.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise ConfigError(f"postgres_upgrade.data_dir: {folder}: {exc.strerror}") from exc
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise ConflictError("another upgrade is at work") from exc
        yield
    finally:
        os.close(handle)
