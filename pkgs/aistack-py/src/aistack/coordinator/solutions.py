"""Solutions: learned from good outcomes, strengthened when the problem comes back, pinned.

A solution's searchable form is a document; both are written in one transaction, and the index
follows by the outbox.
"""

import asyncio
import logging
from typing import Any
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb

from aistack.access.model import Principal
from aistack.coordinator import value
from aistack.coordinator.model import (
    COLLECTION,
    PROJECT,
    Outcome,
    Solution,
    SolutionInfo,
    SolutionPage,
    SolutionQuery,
)
from aistack.coordinator.pages import Cursors
from aistack.coordinator.similarity import Near, Nearest, Pair, Side
from aistack.coordinator.value import Counters, Parts
from aistack.errors import NotFoundError
from aistack.kit.signing import Signer
from aistack.knowledge.documents import Documents
from aistack.knowledge.embed import pack
from aistack.knowledge.model import NewDocument
from aistack.monitoring.learning import LearningMetrics
from aistack.screening.screen import ScreenedError
from aistack.settings.schema import Learning
from aistack.stores.postgres import Connection, Postgres
from aistack.stores.sqlfile import load_queries

log = logging.getLogger(__name__)

_QUERIES = load_queries("aistack.coordinator", "coordinator.sql")
_LOCK = 0x6C6561726E
"""Any constant; with the database it names the right to learn."""
EXAMPLES = 8
EXAMPLE_CHARS = 500
TAGS = 16
_TITLE_CHARS = 200

Row = dict[str, Any]


class Verdict(Struct, frozen=True):
    """An outcome and the feedback to it; the default counts nothing."""

    outcome: Outcome | None = None
    feedback: float | None = None

    @property
    def good(self) -> bool:
        """Whether it makes a solution: a success that nobody was unhappy with."""
        return self.outcome == "success" and (self.feedback is None or self.feedback >= 0)

    def counters(self) -> Counters:
        """What it adds to a solution."""
        return Counters(
            successes=int(self.outcome == "success"),
            partials=int(self.outcome == "partial"),
            failures=int(self.outcome == "failure"),
            feedback_sum=self.feedback or 0.0,
            feedback_count=int(self.feedback is not None),
        )


class Lesson(Struct, frozen=True):
    """An interaction with its verdict, ready to be learned from."""

    pair: Pair
    verdict: Verdict
    tags: list[str]
    context: frozenset[UUID]
    """Solutions that the answer was made with."""
    seen: dict[UUID, Near]
    """Solutions that were compared before the transaction."""


class Learned(Struct, frozen=True):
    """What an interaction did to the solutions."""

    solution_id: UUID | None
    reusability: float
    nearest: float
    """Similarity of the nearest earlier solution, 0 where there is none."""


class Solutions:
    """The solutions of one database."""

    def __init__(
        self,
        postgres: Postgres,
        documents: Documents,
        nearest: Nearest,
        settings: Learning,
        signer: Signer,
        metrics: LearningMetrics,
    ) -> None:
        self._postgres = postgres
        self._documents = documents
        self._nearest = nearest
        self._settings = settings
        self._cursors = Cursors(signer, "solutions")
        self._metrics = metrics

    async def learn(self, conn: Connection, lesson: Lesson) -> Learned:
        """Make a solution of an interaction, or strengthen or weaken the one that it repeats.

        To be called in a transaction; others that learn wait for its end.
        """
        await conn.execute(_QUERIES["learn_lock"], {"lock": _LOCK})
        fresh = await self._nearest.look_again(conn, lesson.pair, lesson.seen)
        near = sorted((lesson.seen | fresh).values(), key=lambda n: (-n.both, -n.question, n.id))
        nearest = near[0].both if near else 0.0
        for candidate in near:
            if not self._same(candidate, lesson):
                continue
            row = await (
                await conn.execute(_QUERIES["lock_solution"], _id(candidate.id))
            ).fetchone()
            if row is None or row["deleted_at"] is not None:
                continue  # deleted since it was found
            counters = await self._strengthen(conn, row, lesson)
            self._metrics.lessons.labels("merged").inc()
            return Learned(candidate.id, value.reusability_part(counters), nearest)
        if lesson.verdict.good:
            try:
                solution = await self._create(conn, lesson, 1 - nearest)
            except ScreenedError as exc:
                # Recorded before the settings refused such text; how it ended still counts.
                log.warning("nothing is learned from an interaction: %s", exc.detail)
            else:
                self._metrics.lessons.labels("created").inc()
                return Learned(solution, 0.0, nearest)
        self._metrics.lessons.labels("none").inc()
        return Learned(None, 0.0, nearest)

    def _same(self, near: Near, lesson: Lesson) -> bool:
        """Whether the interaction speaks of this solution.

        A good one does by question and answer. One that went wrong also speaks of the solution
        that it was given for the same question: its answer tells what was made of it.
        """
        least = self._settings.merge_similarity
        if near.both >= least:
            return True
        return not lesson.verdict.good and near.id in lesson.context and near.question >= least

    async def _create(self, conn: Connection, lesson: Lesson, novelty: float) -> UUID:
        question, answer = lesson.pair.question, lesson.pair.answer
        solution = uuid4()
        parts = value.parts_of(
            lesson.verdict.counters(), complexity=await _complexity(answer), novelty=novelty
        )
        document = searchable(solution, question.text, answer.text, [], lesson.tags)
        row = msgspec.to_builtins(lesson.verdict.counters()) | {
            "id": solution,
            "question": question.text,
            "answer": answer.text,
            "tags": lesson.tags,
            "value": value.score(parts, self._settings.weights),
            "parts": Jsonb(msgspec.to_builtins(parts)),
            "vector_model": question.model if answer.model else None,
            "question_vector": _packed(question) if answer.model else None,
            "answer_vector": _packed(answer) if question.model else None,
            "document_id": await self._documents.put_within(conn, COLLECTION, document),
        }
        await conn.execute(_QUERIES["insert_solution"], row)
        return solution

    async def _strengthen(self, conn: Connection, row: Row, lesson: Lesson) -> Counters:
        """Count the verdict in; keep the wording and the tags of one that was good."""
        examples, tags = list(row["examples"]), list(row["tags"])
        if lesson.verdict.good:
            asked = lesson.pair.question.text[:EXAMPLE_CHARS]
            if asked not in examples and asked != row["question"][:EXAMPLE_CHARS]:
                examples = [asked, *examples][:EXAMPLES]
            tags = list(dict.fromkeys([*tags, *lesson.tags]))[:TAGS]
        document_id = row["document_id"]
        changed = examples != row["examples"] or tags != row["tags"]
        if changed or document_id is None:
            document = searchable(row["id"], row["question"], row["answer"], examples, tags)
            document_id = await self._documents.put_within(conn, COLLECTION, document)
        fresh = row | {"examples": examples, "tags": tags, "document_id": document_id}
        return await self._count(conn, fresh, Verdict(), lesson.verdict)

    async def correct(
        self, conn: Connection, solution_id: UUID, old: Verdict, new: Verdict
    ) -> float:
        """Take back what an interaction's old verdict counted, count the new one.

        One that went into the trash as a duplicate counts at the solution that stayed, too.

        Returns:
            The solution's reusability; 0 where it is gone.
        """
        reusability = 0.0
        at: UUID | None = solution_id
        while at is not None:
            row = await (await conn.execute(_QUERIES["lock_solution"], _id(at))).fetchone()
            if row is None:
                break
            reusability = value.reusability_part(await self._count(conn, row, old, new))
            at = row["merged_into"]
        return reusability

    async def _count(self, conn: Connection, row: Row, old: Verdict, new: Verdict) -> Counters:
        have = msgspec.convert(row, Counters)
        counters = value.combined(have, old.counters(), new.counters())
        before = msgspec.convert(row["parts"], Parts)
        parts, fresh = value.rescored(before, counters, self._settings.weights)
        await conn.execute(
            _QUERIES["update_solution"],
            row
            | msgspec.to_builtins(counters)
            | {"value": fresh, "parts": Jsonb(msgspec.to_builtins(parts))},
        )
        return counters

    async def get(self, principal: Principal, solution_id: UUID) -> Solution:
        """One solution; raises `NotFoundError`, also where the caller may not see them."""
        principal.require("read")
        if not principal.sees(COLLECTION):
            raise NotFoundError("no such solution")
        rows = await self._postgres.fetch(_QUERIES["solution"], _id(solution_id))
        if not rows:
            raise NotFoundError("no such solution")
        return msgspec.convert(rows[0], Solution)

    async def list(self, principal: Principal, query: SolutionQuery) -> SolutionPage:
        """A page of solutions, newest first; none where the caller may not see them."""
        principal.require("read")
        after = self._cursors.read(query.cursor)
        if not principal.sees(COLLECTION):
            return SolutionPage([], has_more=False, next_cursor=None)
        values = {
            "min_value": query.min_value,
            "tag": query.tag,
            "pinned": query.pinned,
            "before": after[0] if after else None,
            "before_id": after[1] if after else None,
            "limit": query.limit + 1,
        }
        rows = await self._postgres.fetch(_QUERIES["solutions"], values)
        page, more = rows[: query.limit], len(rows) > query.limit
        return SolutionPage(
            msgspec.convert(page, list[SolutionInfo]),
            has_more=more,
            next_cursor=self._cursors.write(page[-1]) if more else None,
        )

    async def pin(self, principal: Principal, solution_id: UUID, *, pinned: bool) -> Solution:
        """Keep a solution from garbage collection, or let it go; doing it twice is no more."""
        principal.require("write")
        if not principal.sees(COLLECTION):
            raise NotFoundError("no such solution")
        async with self._postgres.transaction() as conn:
            done = await conn.execute(_QUERIES["pin"], _id(solution_id) | {"pinned": pinned})
            if await done.fetchone() is None:
                raise NotFoundError("no such solution")
        return await self.get(principal, solution_id)


def _id(solution_id: UUID) -> Row:
    return {"id": solution_id}


async def _complexity(answer: Side) -> float:
    return await asyncio.to_thread(complexity_of, answer)


def complexity_of(answer: Side) -> float:
    """The complexity part of an answer."""
    return value.complexity_part(answer.text, answer.terms.total())


def _packed(side: Side) -> bytes | None:
    return pack(side.vector) if side.vector is not None else None


def searchable(
    solution: UUID, question: str, answer: str, examples: list[str], tags: list[str]
) -> NewDocument:
    """A solution as search finds it: its document in the collection ``solved_issues``."""
    lines = ["# Problem", question, "# Solution", answer]
    if examples:
        lines += ["# Also asked as", *examples]
    title = next(line for line in question.splitlines() if line.strip()).strip()
    return NewDocument(
        path=f"{solution}.md",
        source="\n\n".join(lines).encode(),
        project=PROJECT,
        title=title[:_TITLE_CHARS],
        content_type="text/markdown",
        metadata={"solution": str(solution), **{f"tag:{tag}": True for tag in tags}},
    )
