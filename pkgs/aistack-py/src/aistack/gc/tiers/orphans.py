"""What the index and PostgreSQL do not both have.

A point without a passage goes. A passage without a point is indexed again, and so is a solution
without a document: PostgreSQL is the source of truth.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from qdrant_client.http.exceptions import UnexpectedResponse

from aistack.coordinator.model import COLLECTION
from aistack.errors import UnavailableError
from aistack.gc.context import Context, most
from aistack.gc.model import Step, TierReport
from aistack.kit.ahead import ahead
from aistack.knowledge.vectors import Found
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.gc", "gc.sql")
_PAGE = 1000

Row = dict[str, Any]


async def steps(context: Context) -> AsyncIterator[Step]:
    """Points that go, then what is to be indexed again."""
    with context.tier("orphans") as report:
        async for step in _lost_solutions(context, report):
            yield step
        rows = await context.postgres.fetch(_QUERIES["live_index"], {"collection": COLLECTION})
        if not rows:
            report.skipped = "the index is not made yet"
            return
        generation = rows[0]
        try:
            if not await context.vectors.exists(generation["index_name"]):
                report.skipped = "the index is away; the running service makes it anew"
                return
            async for step in _points(context, report, generation):
                yield step
            async for step in _documents(context, report, generation):
                yield step
        except (UnavailableError, UnexpectedResponse) as exc:
            report.skipped = getattr(exc, "detail", "the index refuses to answer")


async def _points(context: Context, report: TierReport, generation: Row) -> AsyncIterator[Step]:
    """Points whose passage is gone, with nothing under way that would tell the index so.

    A point is only ours to judge with the id of a passage (a UUID, never a number) and the time
    that the indexer gave it.
    """
    index = generation["index_name"]
    total = await context.vectors.count(index)
    newest = (context.now - timedelta(seconds=context.settings.grace_s)).timestamp()
    async with aclosing(ahead(_scanned(context, index))) as pages:
        async for points in pages:
            ours = {p.id: p for p in points if _known(p)}
            report.foreign += len(points) - len(ours)
            old = {i: p for i, p in ours.items() if (p.indexed_at or 0) < newest}
            values = {
                "ids": list(old),
                "documents": [p.document for p in old.values()],
                "generation": generation["id"],
            }
            for row in await context.postgres.fetch(_QUERIES["without_passage"], values):
                point = old[str(row["id"])]
                if report.points >= most(total, context.settings.max_fraction):
                    report.held_back += 1
                    continue
                report.points += 1
                at = datetime.fromtimestamp(point.indexed_at or 0, UTC)
                yield Step(
                    tier="orphans",
                    action="drop_point",
                    subject=row["id"],
                    reason="orphan",
                    evidence={"document": point.document, "indexed_at": at.isoformat()},
                    index=index,
                )


async def _scanned(context: Context, index: str) -> AsyncGenerator[list[Found], None]:
    after: int | str | None = None
    while True:
        points, after = await context.vectors.scan(index, after, _PAGE)
        yield points
        if after is None:
            return


async def _documents(context: Context, report: TierReport, generation: Row) -> AsyncIterator[Step]:
    """Documents with a passage that the index should have, and has not."""
    values: Row = {
        "collection": COLLECTION,
        "generation": generation["id"],
        "before": context.now - timedelta(seconds=context.settings.grace_s),
        "limit": _PAGE // 2,
    }
    read = context.postgres.pages(_QUERIES["indexed_documents"], values)
    async with aclosing(ahead(read)) as pages:
        async for rows in pages:
            wanted = [str(chunk) for row in rows for chunk in row["chunks"]]
            there: set[str] = set()
            for start in range(0, len(wanted), _PAGE):
                batch = wanted[start : start + _PAGE]
                there |= await context.vectors.present(generation["index_name"], batch)
            for row in rows:
                missing = [chunk for chunk in row["chunks"] if str(chunk) not in there]
                if missing:
                    report.reindexed += 1
                    yield Step(
                        tier="orphans",
                        action="reindex_document",
                        subject=row["id"],
                        reason="not_indexed",
                        evidence={"missing": len(missing), "passages": len(row["chunks"])},
                    )


async def _lost_solutions(context: Context, report: TierReport) -> AsyncIterator[Step]:
    async for rows in context.postgres.pages(_QUERIES["without_document"], {"limit": _PAGE}):
        for row in rows:
            report.reindexed += 1
            yield Step(
                tier="orphans",
                action="make_searchable",
                subject=row["id"],
                reason="no_document",
                evidence={},
            )


def _known(point: Found) -> bool:
    if not isinstance(point.id, str) or point.document is None or point.indexed_at is None:
        return False
    try:
        UUID(point.document)
    except ValueError:
        return False
    return True
