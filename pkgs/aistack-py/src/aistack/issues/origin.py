"""Where events of this host come from: its name and its NixOS generation."""

import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

_PROFILE = Path("/nix/var/nix/profiles/system")
_LINK = re.compile(r"system-(\d{1,9})-link\Z")


class Generation(NamedTuple):
    """A NixOS generation of this host."""

    number: int
    at: datetime
    """When it was made."""


def host() -> str:
    """The host's name, without its domain."""
    return socket.gethostname().partition(".")[0] or "unknown"


def generation(profile: Path = _PROFILE) -> Generation | None:
    """The generation that the system's profile names; None where there is none."""
    try:
        link = profile.readlink().name
        made = (profile.parent / link).lstat().st_mtime
    except OSError:
        return None
    found = _LINK.fullmatch(link)
    return Generation(int(found[1]), datetime.fromtimestamp(made, UTC)) if found else None
