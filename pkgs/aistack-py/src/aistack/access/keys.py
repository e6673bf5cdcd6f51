"""API keys: made, checked in constant time, rotated with an overlap, revoked."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from aistack.access.model import SCOPES, KeyInfo, NewKey, Principal, Scope
from aistack.errors import InvalidError, NotFoundError, UnauthenticatedError
from aistack.stores.postgres import Connection, Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.access", "keys.sql")
_FORM = re.compile(r"aistack_(?P<id>[0-9a-f]{12})_(?P<secret>[A-Za-z0-9_-]{43})")
_REMEMBER_S = 5.0
"""How long a checked key is taken without asking the database again: the most that a revocation
can be late."""
_REMEMBER_MOST = 1024


class Keys:
    """The keys of one database.

    A key reads ``aistack_ID_SECRET``. The secret has 256 random bits, so one SHA-256 is as good
    a store as any slow hash, and costs a microsecond.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._checked: dict[bytes, tuple[float, Principal]] = {}

    async def verify(self, presented: str) -> Principal:
        """Who the key belongs to.

        Raises:
            UnauthenticatedError: not a key, unknown, wrong, expired or revoked: all alike.
            UnavailableError: the database does not answer, so nobody can be let in.
        """
        form = _FORM.fullmatch(presented)
        if not form:
            raise UnauthenticatedError("a valid API key is needed")
        digest = hashlib.sha256(form["secret"].encode()).digest()
        remembered = self._checked.get(digest)
        if remembered and time.monotonic() < remembered[0] and remembered[1].key_id == form["id"]:
            return remembered[1]
        async with self._postgres.read() as conn:
            row = await (await conn.execute(_QUERIES["find"], {"id": form["id"]})).fetchone()
            # Compared even where there is no such key: the time taken tells nothing.
            equal = hmac.compare_digest(row["hash"] if row else bytes(32), digest)
            if not (row and equal and row["valid"]):
                raise UnauthenticatedError("a valid API key is needed")
            await conn.execute(_QUERIES["used"], {"id": form["id"]})
        collections = frozenset(row["collections"]) if row["collections"] is not None else None
        principal = Principal(row["id"], row["name"], frozenset(row["scopes"]), collections)
        if len(self._checked) >= _REMEMBER_MOST:
            self._checked.clear()
        self._checked[digest] = (time.monotonic() + _REMEMBER_S, principal)
        return principal

    async def create(
        self,
        *,
        name: str,
        scopes: Sequence[Scope],
        collections: Sequence[str] | None = None,
        expires_at: datetime | None = None,
    ) -> NewKey:
        """Make a key; its secret is in the answer and nowhere else."""
        _check(name, scopes, expires_at)
        async with self._postgres.transaction() as conn:
            return await _insert(conn, name, scopes, collections, expires_at)

    async def ensure(self, key: str, *, name: str, scopes: Sequence[Scope]) -> bool:
        """Make a key that already has its secret; True if it is new.

        For keys that a configuration declares. One that exists is left as it is: a revoked one
        stays revoked, and its name and scopes stay those of its first time.

        Raises:
            InvalidError: not in the form of a key, or its id belongs to another secret.
        """
        _check(name, scopes, None)
        form = _FORM.fullmatch(key)
        if not form:
            raise InvalidError("not a key; make one by aistack keys generate")
        digest = hashlib.sha256(form["secret"].encode()).digest()
        async with self._postgres.transaction() as conn:
            values = {"id": form["id"], "hash": digest, "name": name, "scopes": list(scopes)}
            made = await (await conn.execute(_QUERIES["ensure"], values)).fetchone()
            if made:
                return True
            row = await (await conn.execute(_QUERIES["find"], values)).fetchone()
        if not row or not hmac.compare_digest(row["hash"], digest):
            raise InvalidError(
                f"the key {form['id']} exists with another secret; generate a new one"
            )
        return False

    async def list(self) -> list[KeyInfo]:
        """All keys, oldest first, also expired and revoked ones."""
        async with self._postgres.read() as conn:
            rows = await (await conn.execute(_QUERIES["list"])).fetchall()
        return [_info(row) for row in rows]

    async def revoke(self, id: str) -> KeyInfo:  # noqa: A002 - the field's own name
        """End a key now (within seconds in other processes); doing it twice changes nothing."""
        async with self._postgres.transaction() as conn:
            row = await (await conn.execute(_QUERIES["revoke"], {"id": id})).fetchone()
        if row is None:
            raise NotFoundError("no such key")
        self._checked.clear()
        return _info(row)

    async def rotate(
        self,
        id: str,  # noqa: A002 - the field's own name
        *,
        overlap: timedelta = timedelta(hours=24),
    ) -> NewKey:
        """A new key with the same name, rights and expiry; the old one ends after ``overlap``."""
        if overlap < timedelta(0):
            raise InvalidError("the overlap must not be negative")
        async with self._postgres.transaction() as conn:
            old = await (await conn.execute(_QUERIES["lock"], {"id": id})).fetchone()
            if old is None:
                raise NotFoundError("no such key, or it has ended: create a new one")
            at = datetime.now(UTC) + overlap
            await conn.execute(_QUERIES["expire"], {"id": id, "at": at})
            new = await _insert(
                conn, old["name"], old["scopes"], old["collections"], old["expires_at"]
            )
        self._checked.clear()
        return new


def generate() -> str:
    """A new key that no database knows yet; `Keys.ensure` makes it one."""
    return f"aistack_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


async def _insert(
    conn: Connection,
    name: str,
    scopes: Sequence[Scope],
    collections: Sequence[str] | None,
    expires_at: datetime | None,
) -> NewKey:
    key = generate()
    _, key_id, secret = key.split("_", 2)
    values = {
        "id": key_id,
        "name": name,
        "hash": hashlib.sha256(secret.encode()).digest(),
        "scopes": list(scopes),
        "collections": None if collections is None else list(collections),
        "expires_at": expires_at,
    }
    row = await (await conn.execute(_QUERIES["create"], values)).fetchone()
    return NewKey(key, _info(row or {}))


def _check(name: str, scopes: Sequence[Scope], expires_at: datetime | None) -> None:
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise InvalidError("a key needs a name of 1 to 100 printable characters", pointer="/name")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise InvalidError(f"scopes must be among {', '.join(SCOPES)}", pointer="/scopes")
    if expires_at is not None and expires_at.tzinfo is None:
        raise InvalidError("the expiry needs a time zone", pointer="/expires_at")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidError("the expiry must lie in the future", pointer="/expires_at")


def _info(row: dict[str, Any]) -> KeyInfo:
    return msgspec.convert(row, KeyInfo)
