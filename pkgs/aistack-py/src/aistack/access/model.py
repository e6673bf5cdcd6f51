"""Who asks, and what they may do."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from msgspec import Struct

from aistack.errors import ForbiddenError, NotFoundError

Scope = Literal["read", "write", "admin", "issues", "metrics"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin", "issues", "metrics")
LARGEST_LIMIT = 100_000_000
"""Largest rate limit of a key's own, of a minute or an hour, in weights of requests."""
_INCLUDES: Mapping[Scope, frozenset[Scope]] = {
    "read": frozenset({"read", "metrics"}),
    "write": frozenset({"read", "write", "metrics"}),
    "admin": frozenset(SCOPES),
    # For programs that only report, or only watch: these keys lie in their settings.
    "issues": frozenset({"issues"}),
    "metrics": frozenset({"metrics"}),
}


class Principal(Struct, frozen=True):
    """A checked caller. ``admin`` includes all, ``write`` ``read``, and ``read`` ``metrics``."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    collections: frozenset[str] | None = None
    """The only collections that this caller may know of; None: all."""
    per_minute: int | None = None
    """The caller's own rate limits; None: the settings'."""
    per_hour: int | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether the caller's scopes include this one."""
        return any(scope in _INCLUDES[own] for own in self.scopes)

    def require(self, scope: Scope) -> None:
        """Raise `ForbiddenError` unless the caller has the scope."""
        if not self.allows(scope):
            raise ForbiddenError(f"this needs a key with the scope {scope}")

    def sees(self, collection: str) -> bool:
        """Whether the caller may know of the collection."""
        return self.collections is None or collection in self.collections

    def require_collection(self, collection: str) -> None:
        """Raise `NotFoundError`, as for a collection that does not exist."""
        if not self.sees(collection):
            raise NotFoundError("no such collection")


LOCAL_OPERATOR = Principal("local", "local operator", frozenset({"admin"}))
"""Whoever can read the settings and reach the database: the CLI's own principal."""


class KeyInfo(Struct, frozen=True):
    """A key as it may be shown: everything but the secret."""

    id: str
    name: str
    scopes: list[Scope]
    collections: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    per_minute: int | None
    per_hour: int | None


class NewKey(Struct, frozen=True):
    """A key at the one moment when its secret can be read."""

    key: str
    info: KeyInfo


class KeyEvent(Struct, frozen=True):
    """What was done to a key, and by which key (``local``: the host's administrator)."""

    at: datetime
    key_id: str
    event: Literal["created", "declared", "rotated", "revoked"]
    actor: str
