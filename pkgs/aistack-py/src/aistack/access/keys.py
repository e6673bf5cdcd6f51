"""API keys: made, checked in constant time, rotated with an overlap, revoked."""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from aistack.access.model import (
    LARGEST_LIMIT,
    LOCAL_OPERATOR,
    SCOPES,
    KeyEvent,
    KeyInfo,
    NewKey,
    Principal,
    Scope,
)
from aistack.access.remembered import Remembered
from aistack.errors import InvalidError, NotFoundError, UnauthenticatedError, UnavailableError
from aistack.kit import tasks
from aistack.stores.postgres import Connection, Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.access", "keys.sql")
_FORM = re.compile(r"aistack_(?P<id>[0-9a-f]{12})_(?P<secret>[A-Za-z0-9_-]{43})")
_PATIENCE_S = 5.0
"""Longest wait for the database's word: one that hangs must not hang whoever asks anything."""
_PATIENCE_OF_WATCHERS_S = 1.0
_LAST_YEAR = 9000


class Keys:
    """The keys of one database.

    A key reads ``aistack_ID_SECRET``. The secret has 256 random bits, so one SHA-256 is as good
    a store as any slow hash, and costs a microsecond.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._remembered = Remembered()
        self._asked: dict[str, tuple[float, asyncio.Task[Principal]]] = {}

    async def verify(self, presented: str) -> Principal:
        """Who the key belongs to.

        While the database does not answer, a key that may only watch or report is taken if it was
        right when any key was last looked up here and has not expired since: else nobody would be
        told of the outage, nor why.

        Raises:
            UnauthenticatedError: not a key, unknown, wrong, expired or revoked: all alike.
            UnavailableError: the database does not answer, so nobody can be let in.
        """
        form = _FORM.fullmatch(presented)
        if not form:
            raise UnauthenticatedError("a valid API key is needed")
        digest = hashlib.sha256(form["secret"].encode()).digest()
        known = self._remembered.get(digest, form["id"])
        if known and known.fresh:
            return known.principal
        watcher = known if known and known.watches else None
        try:
            patience_s = _PATIENCE_OF_WATCHERS_S if watcher else _PATIENCE_S
            return await self._ask(presented, form["id"], digest, patience_s)
        except UnavailableError:
            if watcher is None or watcher.ended:
                raise
            return watcher.principal

    async def _ask(
        self, presented: str, key_id: str, digest: bytes, patience_s: float
    ) -> Principal:
        """One look-up for all that wait for the same key, and nobody waits longer than it may.

        Else each lapse of what is remembered would send as many as there are requests under way.
        """
        now = time.monotonic()
        if presented not in self._asked:
            task = asyncio.create_task(self._look_up(key_id, digest))
            self._asked[presented] = now, task
            task.add_done_callback(lambda task: self._answered(presented, task))
        since, asked = self._asked[presented]
        # Not asyncio.timeout: psycopg, cancelled, waits for the server's word.
        await asyncio.wait([asked], timeout=max(0.0, since + patience_s - now))
        if not asked.done():
            raise UnavailableError("the database does not answer")
        return asked.result()

    def _answered(self, presented: str, task: "asyncio.Task[Principal]") -> None:
        self._asked.pop(presented, None)
        tasks.seen(task)

    async def _look_up(self, key_id: str, digest: bytes) -> Principal:
        async with self._postgres.read() as conn:
            row = await (await conn.execute(_QUERIES["find"], {"id": key_id})).fetchone()
            # Compared even where there is no such key: the time taken tells nothing.
            equal = hmac.compare_digest(row["hash"] if row else bytes(32), digest)
            if not (row and equal and row["valid"]):
                self._remembered.drop(digest)
                raise UnauthenticatedError("a valid API key is needed")
            await conn.execute(_QUERIES["used"], {"id": key_id})
            principal = _principal(row)
            self._remembered.put(digest, principal, row["left_s"])
            await self._look_up_watchers(conn)
        return principal

    async def _look_up_watchers(self, conn: Connection) -> None:
        """What other processes ended must be known before the database may be away.

        Else a key that was revoked long ago, and not seen here since, would open again then.
        """
        if known := self._remembered.stale_watchers():
            ids = [one.principal.key_id for one in known.values()]
            rows = await (await conn.execute(_QUERIES["valid"], {"ids": ids})).fetchall()
            self._remembered.keep(known, {row["id"]: row["left_s"] for row in rows})

    async def holder(self, key_id: str) -> Principal:
        """Whom a key belongs to that was checked before; asks the database each time.

        Raises:
            UnauthenticatedError: it is unknown, expired or revoked by now.
            UnavailableError: the database does not answer.
        """
        async with self._postgres.read() as conn:
            row = await (await conn.execute(_QUERIES["find"], {"id": key_id})).fetchone()
        if not (row and row["valid"]):
            raise UnauthenticatedError("a valid API key is needed")
        return _principal(row)

    async def create(
        self,
        *,
        name: str,
        scopes: Sequence[Scope],
        collections: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        per_minute: int | None = None,
        per_hour: int | None = None,
        actor: Principal = LOCAL_OPERATOR,
    ) -> NewKey:
        """Make a key; its secret is in the answer and nowhere else.

        Args:
            name: what people know it by; need not be unique.
            scopes: at least one.
            collections: the only ones that it may know of; None: all.
            expires_at: with a time zone, in the future; None: never.
            per_minute: its own rate limits, in weights of requests; None: the settings'.
            per_hour: likewise.
            actor: who makes it, for the key's history.
        """
        _check(name, scopes, expires_at)
        _check_limits(per_minute, per_hour)
        rights = {
            "name": name,
            "scopes": list(scopes),
            "collections": None if collections is None else list(collections),
            "expires_at": expires_at,
            "per_minute": per_minute,
            "per_hour": per_hour,
        }
        async with self._postgres.transaction() as conn:
            return await _insert(conn, rights, actor)

    async def ensure(
        self,
        key: str,
        *,
        name: str,
        scopes: Sequence[Scope],
        per_minute: int | None = None,
        per_hour: int | None = None,
    ) -> bool:
        """Make a key that already has its secret; True if it is new.

        For keys that a configuration declares. One that exists is left as it is: a revoked one
        stays revoked, and its name, scopes and limits stay those of its first time.

        Args:
            key: the whole of it, as `generate` makes it.
            name: as for `create`.
            scopes: as for `create`.
            per_minute: its own rate limits, in weights of requests; None: the settings'.
            per_hour: likewise.

        Raises:
            InvalidError: not in the form of a key, or its id belongs to another secret.
        """
        _check(name, scopes, None)
        _check_limits(per_minute, per_hour)
        form = _FORM.fullmatch(key)
        if not form:
            raise InvalidError("not a key; make one by aistack keys generate")
        digest = hashlib.sha256(form["secret"].encode()).digest()
        async with self._postgres.transaction() as conn:
            values = {
                "id": form["id"],
                "hash": digest,
                "name": name,
                "scopes": list(scopes),
                "per_minute": per_minute,
                "per_hour": per_hour,
            }
            made = await (await conn.execute(_QUERIES["ensure"], values)).fetchone()
            if made:
                await _note(conn, form["id"], "declared", LOCAL_OPERATOR)
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

    async def revoke(
        self,
        id: str,  # noqa: A002 - the field's own name
        *,
        actor: Principal = LOCAL_OPERATOR,
    ) -> KeyInfo:
        """End a key now (within seconds in other processes); doing it twice changes nothing."""
        async with self._postgres.transaction() as conn:
            row = await (await conn.execute(_QUERIES["revoke"], {"id": id})).fetchone()
            if row is None:
                raise NotFoundError("no such key")
            if row["ended_now"]:
                await _note(conn, id, "revoked", actor)
        self._remembered.clear()
        return _info(row)

    async def rotate(
        self,
        id: str,  # noqa: A002 - the field's own name
        *,
        overlap: timedelta = timedelta(hours=24),
        actor: Principal = LOCAL_OPERATOR,
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
            await _note(conn, id, "rotated", actor)
            new = await _insert(conn, {k: v for k, v in old.items() if k != "id"}, actor)
        self._remembered.clear()
        return new

    async def events(self, key_id: str | None = None, *, limit: int = 100) -> Sequence[KeyEvent]:
        """What was done to one key or to all, newest first.

        Raises:
            NotFoundError: no such key.
        """
        values = {"key_id": key_id, "limit": limit}
        async with self._postgres.read() as conn:
            rows = await (await conn.execute(_QUERIES["events"], values)).fetchall()
            if not rows and key_id is not None:
                # A key can be older than its history.
                known = await conn.execute(_QUERIES["find"], {"id": key_id})
                if await known.fetchone() is None:
                    raise NotFoundError("no such key")
        return [msgspec.convert(row, KeyEvent) for row in rows]


def generate() -> str:
    """A new key that no database knows yet; `Keys.ensure` makes it one."""
    return f"aistack_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


async def _insert(conn: Connection, rights: dict[str, Any], actor: Principal) -> NewKey:
    key = generate()
    _, key_id, secret = key.split("_", 2)
    values = rights | {"id": key_id, "hash": hashlib.sha256(secret.encode()).digest()}
    row = await (await conn.execute(_QUERIES["create"], values)).fetchone()
    await _note(conn, key_id, "created", actor)
    return NewKey(key, _info(row or {}))


async def _note(conn: Connection, key_id: str, event: str, actor: Principal) -> None:
    """In the same transaction as what it tells of."""
    values = {"key_id": key_id, "event": event, "actor": actor.key_id}
    await conn.execute(_QUERIES["note_event"], values)


def _check(name: str, scopes: Sequence[Scope], expires_at: datetime | None) -> None:
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise InvalidError("a key needs a name of 1 to 100 printable characters", pointer="/name")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise InvalidError(f"scopes must be among {', '.join(SCOPES)}", pointer="/scopes")
    if expires_at is not None and expires_at.tzinfo is None:
        raise InvalidError("the expiry needs a time zone", pointer="/expires_at")
    if expires_at is not None and expires_at.year > _LAST_YEAR:
        raise InvalidError("the expiry is too far away; leave it out", pointer="/expires_at")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidError("the expiry must lie in the future", pointer="/expires_at")


def _principal(row: dict[str, Any]) -> Principal:
    collections = frozenset(row["collections"]) if row["collections"] is not None else None
    return Principal(
        row["id"],
        row["name"],
        _scopes(*row["scopes"]),
        collections,
        row["per_minute"],
        row["per_hour"],
    )


@lru_cache(maxsize=64)
def _scopes(*names: Scope) -> frozenset[Scope]:
    """One set for all keys with these: a thousand of them would take a fifth of a megabyte."""
    return frozenset(names)


def _check_limits(per_minute: int | None, per_hour: int | None) -> None:
    for limit, field in ((per_minute, "per_minute"), (per_hour, "per_hour")):
        if limit is not None and not 1 <= limit <= LARGEST_LIMIT:
            raise InvalidError(
                f"a rate limit must be from 1 to {LARGEST_LIMIT}", pointer=f"/{field}"
            )


def _info(row: dict[str, Any]) -> KeyInfo:
    return msgspec.convert(row, KeyInfo)
