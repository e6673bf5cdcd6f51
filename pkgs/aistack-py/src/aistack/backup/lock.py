"""One job of backups at a time: a run, an expiry, a verification or a drill."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aistack.errors import ConfigError
from aistack.kit import flock, process


@contextmanager
def alone(state_dir: str) -> Iterator[None]:
    """Hold the lock.

    Raises:
        ConfigError: the folder cannot be written.
        ConflictError: another job is at work.
    """
    folder = Path(state_dir)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / "job.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # A restore as root may be the first to come: the jobs after it are the folder's owner.
        process.give(folder / "job.lock", process.owner(folder))
    except OSError as exc:
        raise ConfigError(f"backup.state_dir: cannot write to {folder}: {exc.strerror}") from exc
    with flock.held(handle, "another backup, verification or drill is at work"):
        yield
