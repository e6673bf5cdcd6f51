"""What makes two events one issue. Pure, and versioned: what is grouped stays grouped.

A change of the algorithm, of `parameterize` too, is a new version beside the old ones. An event
then goes to the issue that an older version finds, and only else to one of the newest version.
"""

import re
from collections.abc import Callable, Mapping
from hashlib import blake2b

from msgspec import Struct

from aistack.issues.model import Event
from aistack.issues.parameterize import parameterize

_FRAMES = 12
_WRITTEN = re.compile(r"(\d{1,3}):([0-9a-f]{32})")
"""As `Issue.fingerprint` and an export have it: then it is what it says."""
BYTES = 16


class Fingerprint(Struct, frozen=True, order=True):
    """A digest of 16 bytes, and the version of the algorithm that made it."""

    version: int
    digest: bytes


def _first(event: Event) -> list[str]:
    if event.fingerprint:
        return ["custom", event.fingerprint]
    frames = [f"{f.module}:{f.function}" for f in event.frames if f.in_app]
    if frames:
        return ["stack", event.kind, event.component, *frames[-_FRAMES:]]
    return ["message", event.kind, event.component, parameterize(event.message)]


VERSIONS: Mapping[int, Callable[[Event], list[str]]] = {1: _first}
"""Each version's parts that must be the same, oldest version first."""


def fingerprint(event: Event, version: int | None = None) -> Fingerprint:
    """The event's fingerprint by a version of the algorithm; None: the newest."""
    written = _WRITTEN.fullmatch(event.fingerprint or "")
    if written:
        return Fingerprint(int(written[1]), bytes.fromhex(written[2]))
    number = max(VERSIONS) if version is None else version
    parts = VERSIONS[number](event)
    # Lengths keep ["a", "b"] and ["ab"] apart.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return Fingerprint(number, blake2b(text.encode("utf-8", "replace"), digest_size=BYTES).digest())
