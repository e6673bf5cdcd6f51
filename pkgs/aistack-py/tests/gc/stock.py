"""Solutions of known age, value and content, put there without asking anyone."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from msgspec import structs
from psycopg.types.json import Jsonb

from aistack.access.model import LOCAL_OPERATOR
from aistack.coordinator.model import COLLECTION
from aistack.coordinator.solutions import searchable
from aistack.gc.model import Plan, Report, Step
from aistack.gc.plan import PlanFile
from aistack.knowledge.embed import pack
from aistack.knowledge.model import Query
from aistack.settings.schema import GarbageCollection, Settings
from aistack.wiring import Stack, open_stack

NOW = datetime.now(UTC)
NGINX = "how do I limit requests in nginx"
ZONE = "Use limit_req_zone with a shared zone of ten megabytes, then limit_req in the location"
PARTS = dict.fromkeys(("outcome", "feedback", "reusability", "complexity", "novelty"), 0.5)


@asynccontextmanager
async def opened(settings: Settings, **rules: Any) -> AsyncIterator[Stack]:
    """A stack with other rules of collection."""
    gc = structs.replace(settings.gc, **rules)
    async with open_stack(structs.replace(settings, gc=gc), index=False) as stack:
        yield stack


def lenient(settings: Settings, **rules: Any) -> Settings:
    """Settings with which a run may take everything that a tier finds."""
    gc = GarbageCollection(**{"max_fraction": 1.0, "grace_s": 1, **rules})
    return structs.replace(settings, gc=gc)


async def put(
    stack: Stack,
    question: str = "",
    answer: str = "",
    *,
    value: float = 0.6,
    age_days: float = 0,
    used_days: float | None = None,
    pinned: bool = False,
    vectors: tuple[Sequence[float], Sequence[float]] | None = None,
    own: UUID | None = None,
    **counters: Any,
) -> UUID:
    """One solution; the index learns of it with the next drain."""
    own = own or uuid4()
    question = question or f"how is {own.hex} done"
    answer = answer or f"{own.hex[:16]} by {own.hex[16:]}"
    row = {"successes": 1, "uses": 0, "feedback_sum": 0.0, "feedback_count": 0} | counters
    async with stack.postgres.transaction() as conn:
        document = await stack.documents.put_within(
            conn, COLLECTION, searchable(own, question, answer, [], [])
        )
        await conn.execute(
            "insert into solutions (id, question, answer, value, parts, created_at, updated_at,"
            " last_used_at, pinned, document_id, vector_model, question_vector, answer_vector,"
            " successes, uses, feedback_sum, feedback_count) values (%(id)s, %(question)s,"
            " %(answer)s, %(value)s, %(parts)s, %(at)s, %(at)s, %(used)s, %(pinned)s,"
            " %(document)s, %(model)s, %(question_vector)s, %(answer_vector)s, %(successes)s,"
            " %(uses)s, %(feedback_sum)s, %(feedback_count)s)",
            row
            | {
                "id": own,
                "question": question,
                "answer": answer,
                "value": value,
                "parts": Jsonb(PARTS),
                "at": NOW - timedelta(days=age_days),
                "used": NOW - timedelta(days=used_days) if used_days is not None else None,
                "pinned": pinned,
                "document": document,
                "model": "toy" if vectors else None,
                "question_vector": pack(list(vectors[0])) if vectors else None,
                "answer_vector": pack(list(vectors[1])) if vectors else None,
            },
        )
    return own


async def rows(stack: Stack, query: str, **values: Any) -> list[dict[str, Any]]:
    async with stack.postgres.read() as conn:
        return await (await conn.execute(query.encode(), values)).fetchall()


async def live(stack: Stack) -> set[UUID]:
    found = await rows(stack, "select id from solutions where deleted_at is null")
    return {row["id"] for row in found}


async def trash(stack: Stack) -> dict[UUID, str]:
    """Solutions in the trash, with the reason."""
    query = "select id, delete_reason from solutions where deleted_at is not null"
    return {row["id"]: row["delete_reason"] for row in await rows(stack, query)}


async def findable(stack: Stack) -> set[str]:
    """Paths of all solutions that search can find, whatever is asked."""
    await stack.indexer.drain()
    found: set[str] = set()
    cursor = None
    while True:
        query = Query(
            query="problem solution how is done by",
            collection=COLLECTION, limit=100, cursor=cursor,
        )  # fmt: skip
        page = await stack.search.search(LOCAL_OPERATOR, query)
        found |= {hit.path for hit in page.hits}
        cursor = page.next_cursor
        if cursor is None:
            return found


async def plan(stack: Stack, **options: bool) -> tuple[Plan, list[Step]]:
    with PlanFile() as file:
        made = await stack.collector.plan(file, **options)
        return made, list(file.steps())


async def run(stack: Stack, **options: bool) -> Report:
    return await stack.collector.run(**options)


async def run_deletes(stack: Stack) -> int:
    return sum(t.discards + t.points for t in (await run(stack)).tiers.values())


async def index_name(stack: Stack) -> str:
    query = "select index_name from generations where collection = %(name)s and state = 'live'"
    return str((await rows(stack, query, name=COLLECTION))[0]["index_name"])
