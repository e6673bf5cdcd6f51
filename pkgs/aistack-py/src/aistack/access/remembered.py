"""Keys that were right when they were last looked up, and for how long that is taken for true."""

import math
import time
from collections.abc import Mapping

from msgspec import Struct, structs

from aistack.access.model import Principal, Scope

_FRESH_S = 5.0
"""How long a checked key is taken without asking the database again: the most that a revocation
can be late while it answers."""
_MOST = 1024
_WATCHERS: frozenset[Scope] = frozenset({"metrics", "issues"})
"""Scopes that read no content and change none: to watch, and to report."""


class Checked(Struct, frozen=True):
    """A key that was right; times are of the monotonic clock, in seconds."""

    principal: Principal
    fresh_until: float
    ends: float
    """When it expires; infinite: never."""

    @property
    def fresh(self) -> bool:
        """Whether the database need not be asked."""
        return time.monotonic() < self.fresh_until

    @property
    def ended(self) -> bool:
        """Whether it has expired since."""
        return time.monotonic() >= self.ends

    @property
    def watches(self) -> bool:
        """Whether it may only watch or report."""
        return self.principal.scopes <= _WATCHERS


class Remembered:
    """The keys of one process, by the hash of their secret; a bounded number."""

    def __init__(self) -> None:
        self._keys: dict[bytes, Checked] = {}

    def get(self, digest: bytes, key_id: str) -> Checked | None:
        """What is known of a key; None also for a secret that came with another key's id."""
        known = self._keys.get(digest)
        return known if known and known.principal.key_id == key_id else None

    def put(self, digest: bytes, principal: Principal, left_s: float | None) -> None:
        """Note a key that is right; ``left_s``: seconds until it expires, None: it never does."""
        if len(self._keys) >= _MOST:
            self._keys.clear()
        now, ends = time.monotonic(), _ends(left_s)
        self._keys[digest] = Checked(principal, min(now + _FRESH_S, ends), ends)

    def drop(self, digest: bytes) -> None:
        """Forget a key."""
        self._keys.pop(digest, None)

    def clear(self) -> None:
        """Forget all."""
        self._keys.clear()

    def stale_watchers(self) -> dict[bytes, Checked]:
        """Those that may only watch or report, and were not looked up just now."""
        return {d: known for d, known in self._keys.items() if known.watches and not known.fresh}

    def keep(self, looked_up: Mapping[bytes, Checked], left_s: Mapping[str, float | None]) -> None:
        """Forget those of ``looked_up`` that are not valid any more.

        Args:
            looked_up: as they were known before the database was asked; what was learned of one
                meanwhile stays.
            left_s: key id to seconds until it expires (None: never), of those that are valid.
        """
        for digest, known in looked_up.items():
            if self._keys.get(digest) is not known:
                continue
            if known.principal.key_id in left_s:
                ends = _ends(left_s[known.principal.key_id])
                self._keys[digest] = structs.replace(known, ends=ends)
            else:
                del self._keys[digest]


def _ends(left_s: float | None) -> float:
    return math.inf if left_s is None else time.monotonic() + left_s
