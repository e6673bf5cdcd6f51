"""Conversations: the newest turns of a session, from Redis, or from PostgreSQL without it.

A session belongs to the key that recorded it. PostgreSQL holds every interaction; the list in
Redis spares the query, is bounded in turns and bytes, and ends by itself.
"""

import hashlib
import logging
from uuid import UUID

import msgspec
from msgspec import Struct

from aistack.access.model import Principal
from aistack.errors import AistackError
from aistack.kit.signing import Signer
from aistack.settings.schema import Learning
from aistack.stores.postgres import Postgres
from aistack.stores.redis import Redis
from aistack.stores.sqlfile import load_queries

log = logging.getLogger(__name__)

_QUERIES = load_queries("aistack.coordinator", "coordinator.sql")
_CUT = " [...]"


class Turn(Struct, frozen=True):
    """One question and its answer, each cut to at most half of learning.session_bytes."""

    id: UUID
    question: str
    response: str


class Sessions:
    """The sessions of one database."""

    def __init__(
        self, postgres: Postgres, redis: Redis, settings: Learning, signer: Signer
    ) -> None:
        self._postgres = postgres
        self._redis = redis
        self._signer = signer
        self._settings = settings

    async def add(self, principal: Principal, session: str, turn: Turn) -> None:
        """Note a turn that PostgreSQL already has. Never fails: Redis may be away."""
        if not self._redis.configured:
            return
        try:
            await self._add(principal, session, turn)
        except AistackError as exc:
            log.warning("a session is not refreshed: %s", exc.detail)

    async def _add(self, principal: Principal, session: str, turn: Turn) -> None:
        key, raw = self._key(principal, session), _encode(self._cut(turn))
        if await self._append(key, [raw], new=False):
            return
        # There is no list yet: it must begin with the turns that came before. Another may make
        # it at the same moment, without this turn: then it is appended, and read once anyway.
        turns = await self._stored(principal, session)
        if turns and not await self._append(key, [_encode(t) for t in turns], new=True):
            await self._append(key, [raw], new=False)

    async def turns(self, principal: Principal, session: str) -> list[Turn]:
        """The newest turns, oldest first, within the bounds of the settings."""
        key = self._key(principal, session)
        found = _decode(await self._redis.items(key))
        if not found:
            found = await self._stored(principal, session)
            if found and self._redis.configured:
                await self._append(key, [_encode(turn) for turn in found], new=True)
        return self._bounded(list({turn.id: turn for turn in found}.values()))

    async def _stored(self, principal: Principal, session: str) -> list[Turn]:
        values = {
            "created_by": principal.key_id,
            "session": session,
            "limit": self._settings.session_turns,
        }
        rows = await self._postgres.fetch(_QUERIES["turns"], values)
        return self._bounded([self._cut(msgspec.convert(row, Turn)) for row in reversed(rows)])

    async def _append(self, key: str, values: list[bytes], *, new: bool) -> bool:
        return await self._redis.append(
            key,
            values,
            most=self._settings.session_turns,
            # JSON may write a byte as six.
            most_bytes=6 * self._settings.session_bytes,
            ttl_s=self._settings.session_ttl_s,
            new=new,
        )

    def _key(self, principal: Principal, session: str) -> str:
        # Signed, so that two stacks with one Redis do not hear each other's local clients.
        token = self._signer.sign(msgspec.msgpack.encode((principal.key_id, session)))
        return f"aistack:session:{hashlib.sha256(token.encode()).hexdigest()}"

    def _cut(self, turn: Turn) -> Turn:
        most = self._settings.session_bytes // 2
        return Turn(turn.id, clip(turn.question, most), clip(turn.response, most))

    def _bounded(self, turns: list[Turn]) -> list[Turn]:
        kept: list[Turn] = []
        size = 0
        for turn in reversed(turns[-self._settings.session_turns :]):
            size += len(turn.question.encode()) + len(turn.response.encode())
            if size > self._settings.session_bytes:
                break
            kept.append(turn)
        return kept[::-1]


def clip(text: str, most: int) -> str:
    """The text in at most so many bytes of UTF-8, with a mark where it was cut."""
    raw = text.encode()
    if len(raw) <= most:
        return text
    return raw[: max(0, most - len(_CUT))].decode(errors="ignore") + _CUT


def _decode(items: list[bytes]) -> list[Turn]:
    """The cached turns; none where another version of the program wrote them differently."""
    try:
        return [msgspec.json.decode(item, type=Turn) for item in items]
    except msgspec.DecodeError:
        return []


def _encode(turn: Turn) -> bytes:
    return msgspec.json.encode(turn)
