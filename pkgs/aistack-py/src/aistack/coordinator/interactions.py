"""Interactions: recorded, judged by their outcome, learned from. PostgreSQL first."""

import asyncio
import hashlib
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct, structs
from psycopg.types.json import Jsonb

from aistack.access.model import Principal
from aistack.coordinator import value
from aistack.coordinator.model import (
    COLLECTION,
    Interaction,
    NewInteraction,
    NewOutcome,
)
from aistack.coordinator.sessions import Sessions, Turn
from aistack.coordinator.similarity import Near, Nearest, Pair, Side
from aistack.coordinator.solutions import (
    Learned,
    Lesson,
    Solutions,
    Verdict,
    complexity_of,
)
from aistack.coordinator.value import Parts
from aistack.errors import ConflictError, InvalidError, NotFoundError
from aistack.kit.text import clean
from aistack.monitoring.learning import LearningMetrics
from aistack.screening.screen import Screen
from aistack.settings.schema import Settings
from aistack.stores.postgres import Connection, Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.coordinator", "coordinator.sql")
_NAME_BYTES = 800

Row = dict[str, Any]


class Recorded(Struct, frozen=True):
    """What became of a record."""

    interaction: Interaction
    created: bool
    """False: the idempotency key brought back the one of the first time."""


class _Looked(Struct, frozen=True):
    """What was found out before the transaction."""

    pair: Pair
    seen: dict[UUID, Near]


class Interactions:
    """The interactions of one database.

    A key that is bound to collections reads and judges its own interactions alone. One that may
    not see ``solved_issues`` records, but nothing is learned from it.
    """

    def __init__(
        self,
        postgres: Postgres,
        solutions: Solutions,
        nearest: Nearest,
        sessions: Sessions,
        settings: Settings,
        metrics: LearningMetrics,
        screen: Screen,
    ) -> None:
        self._postgres = postgres
        self._solutions = solutions
        self._nearest = nearest
        self._sessions = sessions
        self._limits = settings.limits
        self._weights = settings.learning.weights
        self._metrics = metrics
        self._screen = screen

    async def record(self, principal: Principal, new: NewInteraction) -> Recorded:
        """Record an interaction and, where it says how it ended, learn from it: all or nothing.

        Raises:
            InvalidError: a text is empty or too large, or feedback comes without an outcome.
            ScreenedError: a text holds what validation.documents refuses.
            ConflictError: the idempotency key was used for another content.
            UnavailableError: the database does not answer; nothing was recorded.
        """
        principal.require("write")
        if new.feedback is not None and new.outcome is None:
            raise InvalidError("feedback needs an outcome", pointer="/feedback")
        digest = hashlib.sha256(msgspec.msgpack.encode(new)).digest()
        row = self._row(principal, new, digest)
        if new.idempotency_key is not None:
            known = await self._postgres.fetch(_QUERIES["of_idempotency_key"], row)
            if known:
                return Recorded(_same(principal, known[0], digest), created=False)
        looked = await self._look(principal, row) if new.outcome is not None else None
        async with self._postgres.transaction() as conn:
            made = await (await conn.execute(_QUERIES["insert_interaction"], row)).fetchone()
            if made is None:
                # Another request with the same key was faster; it has committed by now.
                found = await conn.execute(_QUERIES["of_idempotency_key"], row)
                return Recorded(_same(principal, await found.fetchone(), digest), created=False)
            if looked is not None:
                made = await self._judge(
                    conn, principal, made, Verdict(new.outcome, new.feedback), looked
                )
        self._metrics.interactions.inc()
        if made["session"] is not None:
            turn = Turn(made["id"], made["question"], made["response"])
            await self._sessions.add(principal, made["session"], turn)
        return Recorded(_shown(principal, made), created=True)

    async def set_outcome(
        self, principal: Principal, interaction_id: UUID, new: NewOutcome
    ) -> Interaction:
        """Tell how an interaction ended, or tell it anew; its score and solution follow.

        Raises:
            NotFoundError: no such interaction, or another key's that is none of the caller's.
        """
        principal.require("write")
        row = await self._row_of(principal, interaction_id)
        verdict = Verdict(new.outcome, new.feedback)
        looked = await self._look(principal, row) if row["solution_id"] is None else None
        async with self._postgres.transaction() as conn:
            locked = await conn.execute(_QUERIES["lock_interaction"], {"id": interaction_id})
            fresh = await locked.fetchone()
            if fresh is None:
                raise NotFoundError("no such interaction")
            if (fresh["outcome"], fresh["feedback"]) == (new.outcome, new.feedback):
                return _shown(principal, fresh)  # told twice, counted once
            if fresh["solution_id"] is None and looked is None:
                # Its solution went away between the two looks.
                looked = _Looked(Pair(Side(row["question"]), Side(row["response"])), {})
            fresh = await self._judge(conn, principal, fresh, verdict, looked)
        return _shown(principal, fresh)

    async def get(self, principal: Principal, interaction_id: UUID) -> Interaction:
        """One interaction; raises `NotFoundError`."""
        principal.require("read")
        return _shown(principal, await self._row_of(principal, interaction_id))

    async def _row_of(self, principal: Principal, interaction_id: UUID) -> Row:
        rows = await self._postgres.fetch(_QUERIES["interaction"], {"id": interaction_id})
        if not rows or not (
            principal.collections is None or rows[0]["created_by"] == principal.key_id
        ):
            raise NotFoundError("no such interaction")
        return rows[0]

    def _row(self, principal: Principal, new: NewInteraction, digest: bytes) -> Row:
        """The checked columns of a new interaction."""
        checked = {
            "question": clean(
                new.question, field="question", max_bytes=self._limits.query_bytes
            ).strip(),
            # Its document holds question and answer, with their headings.
            "response": clean(
                new.response, field="response", max_bytes=self._limits.document_bytes // 2
            ).strip(),
        }
        for name, text in checked.items():
            if not text:
                raise InvalidError(f"the {name} is empty", pointer=f"/{name}", reason="empty")
            # It is kept, as documents are: what they must not hold, it must not.
            self._screen.document(text, f"/{name}")
        for name in ("session", "agent", "model", "idempotency_key"):
            text = getattr(new, name)
            checked[name] = text and clean(text, field=name, max_bytes=_NAME_BYTES)
        return (
            structs.asdict(new)
            | checked
            | {
                "created_by": principal.key_id,
                "request_hash": digest if new.idempotency_key is not None else None,
            }
        )

    async def _look(self, principal: Principal, row: Row) -> _Looked:
        """Compare with earlier solutions, outside of any transaction."""
        if not principal.sees(COLLECTION):
            return _Looked(Pair(Side(row["question"]), Side(row["response"])), {})
        pair = Pair(*await self._nearest.sides([row["question"], row["response"]]))
        return _Looked(pair, await self._nearest.look(pair))

    async def _judge(
        self,
        conn: Connection,
        principal: Principal,
        row: Row,
        verdict: Verdict,
        looked: _Looked | None,
    ) -> Row:
        """Store the verdict with its score, and let the solutions learn of it."""
        old = Verdict(row["outcome"], row["feedback"])
        before = msgspec.convert(row["parts"], Parts | None)
        if row["solution_id"] is not None:
            reusability = await self._solutions.correct(conn, row["solution_id"], old, verdict)
            learned = Learned(row["solution_id"], reusability, 0.0)
        elif looked is not None and principal.sees(COLLECTION):
            lesson = Lesson(
                looked.pair,
                verdict,
                list(row["tags"]),
                frozenset(row["context_ids"]),
                looked.seen,
            )
            learned = await self._solutions.learn(conn, lesson)
        else:
            learned = Learned(None, 0.0, 0.0)
        parts = value.parts_of(
            verdict.counters(),
            complexity=await asyncio.to_thread(complexity_of, Side(row["response"])),
            # Measured once: later its own solution would be the nearest.
            novelty=before.novelty if before is not None else 1 - learned.nearest,
        )
        parts = structs.replace(parts, reusability=learned.reusability)
        values = {
            "id": row["id"],
            "outcome": verdict.outcome,
            "feedback": verdict.feedback,
            "value": value.score(parts, self._weights),
            "parts": Jsonb(msgspec.to_builtins(parts)),
            "solution_id": learned.solution_id,
        }
        stored = await (await conn.execute(_QUERIES["set_outcome"], values)).fetchone()
        self._metrics.outcomes.labels(verdict.outcome).inc()
        return stored or row


def _same(principal: Principal, row: Row | None, digest: bytes) -> Interaction:
    """The interaction of an idempotency key, if it was used for this content."""
    if row is None:
        raise ConflictError("the interaction is being recorded; try again")
    if bytes(row["request_hash"] or b"") != digest:
        raise ConflictError(
            "this idempotency key was used for another interaction", pointer="/idempotency_key"
        )
    return _shown(principal, row)


def _shown(principal: Principal, row: Row) -> Interaction:
    visible = row if principal.sees(COLLECTION) else row | {"solution_id": None}
    return msgspec.convert(visible, Interaction)
