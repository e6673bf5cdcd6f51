"""A lock on a file or folder, for one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from aistack.errors import ConflictError


@contextmanager
def held(handle: int, busy: str) -> Iterator[None]:
    """Hold the lock of what is open here until the block ends, and close it.

    The kernel lets it go when its holder dies.

    Args:
        handle: file descriptor; closed in any case.
        busy: the error where another process holds it.

    Raises:
        ConflictError: another process holds it.
    """
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise ConflictError(busy) from exc
        yield
    finally:
        os.close(handle)
