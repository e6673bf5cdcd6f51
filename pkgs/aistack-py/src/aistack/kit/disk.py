"""What has to outlast a power loss."""

import os
from pathlib import Path


def sync(folder: Path) -> None:
    """Bring a folder's names to the disk: what was made or renamed in it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
