"""What the index has too much of goes, what it lost comes back."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse
from stock import findable, index_name, lenient, live, plan, put, rows, run, trash

from aistack.coordinator.model import COLLECTION
from aistack.errors import UnavailableError
from aistack.gc.context import Context, Moment
from aistack.gc.model import Step, TierReport
from aistack.gc.tiers import orphans
from aistack.knowledge.vectors import Vectors
from aistack.settings.schema import GarbageCollection, Settings
from aistack.wiring import Stack, open_stack

pytestmark = pytest.mark.anyio


def point(own: int | str, indexed_at: int | None, document: object) -> models.PointStruct:
    payload = {"document": document, "indexed_at": indexed_at}
    vector = models.SparseVector(indices=[1], values=[1.0])
    return models.PointStruct(id=own, vector={"bm25": vector}, payload=payload)


async def add(stack: Stack, points: Sequence[models.PointStruct]) -> str:
    """Points that nobody of ours wrote; gives the index."""
    index = await index_name(stack)
    await stack.qdrant.run(lambda c: c.upsert(index, points))
    return index


async def judged(stack: Stack, now: datetime, grace_s: int = 60) -> tuple[TierReport, list[Step]]:
    """What the tier finds at that moment."""
    rules = GarbageCollection(max_fraction=1.0, grace_s=grace_s)
    moment = Moment(now, now, live=0, pinned=0, stored=0)
    context = Context(stack.postgres, stack.vectors, rules, moment, None)
    steps = [step async for step in orphans.steps(context)]
    return context.reports["orphans"], steps


async def passages(stack: Stack, solution: UUID) -> tuple[UUID, list[str]]:
    """A solution's document, and the ids of its passages."""
    query = (
        "select c.id, c.document_id from chunks c join solutions s using (document_id)"
        " where s.id = %(id)s order by c.id"
    )
    found = await rows(stack, query, id=solution)
    return found[0]["document_id"], [str(row["id"]) for row in found]


async def test_a_point_without_a_passage_goes_after_the_grace(stack: Stack) -> None:
    own = await put(stack)
    await stack.indexer.drain()
    now = int(time.time())
    old, young, waits = str(uuid4()), str(uuid4()), str(uuid4())
    waiting = uuid4()
    (generation,) = await rows(
        stack, "select id from generations where collection = %(c)s", c=COLLECTION
    )
    points = [
        point(old, now - 7200, str(uuid4())),
        point(young, now - 60, str(uuid4())),
        point(waits, now - 7200, str(waiting)),
        point(
            5, now - 7200, str(uuid4())
        ),  # the original compared 5 with "5" and deleted everything
        point(str(uuid4()), now - 7200, None),
        point(str(uuid4()), now - 7200, "no id"),
        point(str(uuid4()), None, str(uuid4())),
    ]
    index = await add(stack, points)
    async with stack.postgres.transaction() as conn:
        await conn.execute(
            "insert into outbox (generation, document_id) values (%(g)s, %(d)s)",
            {"g": generation["id"], "d": waiting},
        )
    made, (step,) = await plan(stack)
    assert (step.action, str(step.subject)) == ("drop_point", old)
    assert made.tiers["orphans"].foreign == 4
    await run(stack)
    left = {str(p.id) for p in (await stack.qdrant.run(lambda c: c.scroll(index, limit=100)))[0]}
    assert old not in left
    assert len(left) == 8, left  # six of these, and the solution's two
    assert await live(stack) == {own}
    (deletion,) = [d async for d in stack.collector.deletions(1)]
    assert (str(deletion.subject), deletion.reason) == (old, "orphan")


async def test_a_batch_that_is_tried_again_counts_once(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of a point is safe before the point goes; then the index does not answer."""
    await put(stack)
    await stack.indexer.drain()
    lost = str(uuid4())
    index = await add(stack, [point(lost, int(time.time() - 7200), str(uuid4()))])
    delete, failures = Vectors.delete, iter([True])

    async def fails_once(*args: Any) -> None:
        if next(failures, False):
            raise UnavailableError("the index does not answer", retry_after_s=0)
        await delete(*args)

    monkeypatch.setattr(Vectors, "delete", fails_once)
    assert (await run(stack)).result == "ok"
    assert await stack.vectors.present(index, [lost]) == set()
    (total,) = await rows(stack, "select value from gc_totals where label = 'orphan'")
    assert total["value"] == 1


async def test_of_the_points_too_only_a_part_goes_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "_PAGE", 3)
    at = int(time.time() - 7200)
    async with open_stack(lenient(settings, max_fraction=0.25), index=False) as stack:
        await put(stack)
        await stack.indexer.drain()
        points = [point(str(uuid4()), at, str(uuid4())) for _ in range(10)]
        await add(stack, points)
        made, steps = await plan(stack)
    report = made.tiers["orphans"]
    # A quarter of twelve: the solution has two.
    assert (report.points, report.held_back) == (3, 7)
    told = {str(step.subject): step.evidence for step in steps}
    documents = {p.id: (p.payload or {})["document"] for p in points}
    assert len(told) == 3
    for own, evidence in told.items():
        when = datetime.fromtimestamp(at, UTC).isoformat()
        assert evidence == {"document": documents[own], "indexed_at": when}


async def test_points_of_others_are_counted_on_every_page(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []
    scan = Vectors.scan

    async def noted(self: Vectors, index: str, after: int | str | None, limit: int) -> Any:
        begun.append(after)
        return await scan(self, index, after, limit)

    monkeypatch.setattr(orphans, "_PAGE", 3)
    monkeypatch.setattr(Vectors, "scan", noted)
    await put(stack)
    await stack.indexer.drain()
    await add(stack, [point(number, 1, str(uuid4())) for number in range(1, 8)])
    made, steps = await plan(stack)
    assert made.tiers["orphans"].foreign == 7
    assert not steps
    assert begun[:1] == [None]
    assert len(set(begun)) == len(begun) == 3


async def test_a_point_as_old_as_the_grace_stays_one_second_more(stack: Stack) -> None:
    await put(stack)
    await stack.indexer.drain()
    now = datetime(2100, 1, 1, tzinfo=UTC)
    own, document, edge = str(uuid4()), str(uuid4()), int(now.timestamp()) - 60
    index = await add(stack, [point(own, 0, document), point(str(uuid4()), edge, document)])
    report, steps = await judged(stack, now)
    assert steps == [
        Step(
            tier="orphans",
            action="drop_point",
            subject=UUID(own),
            reason="orphan",
            evidence={"document": document, "indexed_at": "1970-01-01T00:00:00+00:00"},
            index=index,
        )
    ]
    assert (report.points, report.foreign, report.skipped) == (1, 0, None)
    later, steps = await judged(stack, now + timedelta(seconds=1))
    assert (later.points, len(steps)) == (2, 2)


async def test_what_the_index_lost_comes_back(settings: Settings) -> None:
    # The points of the deleted document are orphans; a long grace leaves them, however slow it is.
    async with open_stack(lenient(settings, grace_s=3600), index=False) as stack:
        lost, bare, well = [await put(stack) for _ in range(3)]
        await stack.indexer.drain()
        index = await index_name(stack)
        (row,) = await rows(stack, "select document_id from solutions where id = %(id)s", id=lost)
        await stack.vectors.delete_stale(index, {str(row["document_id"]): None})
        query = "delete from documents where path = %(path)s returning id"
        await rows(stack, query, path=f"{bare}.md")
        await rows(stack, "update documents set updated_at = now() - interval '2 h' returning id")
        await stack.indexer.drain()
        assert await findable(stack) == {f"{well}.md"}
        _, steps = await plan(stack)
        assert {(s.action, s.subject) for s in steps} == {
            ("reindex_document", row["document_id"]),
            ("make_searchable", bare),
        }
        report = await run(stack)
        assert report.tiers["orphans"].reindexed == 2
        assert await findable(stack) == {f"{own}.md" for own in (lost, bare, well)}
        assert not await trash(stack)


async def test_lost_passages_are_found_on_every_page(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "_PAGE", 4)
    async with open_stack(lenient(settings, grace_s=3600), index=False) as stack:
        documents = dict([await passages(stack, await put(stack)) for _ in range(7)])
        await stack.indexer.drain()
        index = await index_name(stack)
        whole, half, *lost = sorted(documents)
        await stack.vectors.delete_stale(index, {str(document): None for document in lost})
        await stack.vectors.delete(index, documents[half][:1])
        later = datetime.now(UTC) + timedelta(hours=2)
        report, steps = await judged(stack, later)
    assert whole not in {step.subject for step in steps}
    assert steps == [
        Step(
            tier="orphans",
            action="reindex_document",
            subject=document,
            reason="not_indexed",
            evidence={"missing": 1 if document == half else 2, "passages": 2},
        )
        for document in (half, *lost)
    ]
    assert (report.reindexed, report.points) == (6, 0)


async def test_a_document_of_many_passages_is_asked_for_in_parts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "_PAGE", 2)
    asked: list[int] = []
    present = Vectors.present

    async def counted(self: Vectors, index: str, ids: Sequence[str]) -> set[str]:
        asked.append(len(ids))
        return await present(self, index, ids)

    monkeypatch.setattr(Vectors, "present", counted)
    async with open_stack(lenient(settings), index=False) as stack:
        long = "\n\n".join(f"{number} is said at length. " * 40 for number in range(4))
        document, ids = await passages(stack, await put(stack, answer=long))
        await stack.indexer.drain()
        later = datetime.now(UTC) + timedelta(hours=2)
        assert not (await judged(stack, later))[1]
        assert (len(ids), asked) == (5, [2, 2, 1])
        await stack.vectors.delete(await index_name(stack), [ids[2]])
        (step,) = (await judged(stack, later))[1]
    assert (step.subject, step.evidence) == (document, {"missing": 1, "passages": 5})


async def test_what_is_missing_within_the_grace_may_still_come(stack: Stack) -> None:
    document, ids = await passages(stack, await put(stack))
    await stack.indexer.drain()
    await stack.vectors.delete(await index_name(stack), ids)
    query = "select updated_at from documents where id = %(id)s"
    (row,) = await rows(stack, query, id=document)
    edge = row["updated_at"] + timedelta(seconds=60)
    report, steps = await judged(stack, edge)
    assert (report.reindexed, steps) == (0, [])
    report, (step,) = await judged(stack, edge + timedelta(microseconds=1))
    assert (report.reindexed, step.subject) == (1, document)


async def test_solutions_without_a_document_are_found_on_every_page(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "_PAGE", 2)
    async with open_stack(lenient(settings, grace_s=3600), index=False) as stack:
        lost = [await put(stack, own=UUID(int=number)) for number in range(1, 6)]
        await rows(stack, "delete from documents returning id")
        made, steps = await plan(stack)
    assert steps == [
        Step(
            tier="orphans",
            action="make_searchable",
            subject=solution,
            reason="no_document",
            evidence={},
        )
        for solution in lost
    ]
    assert made.tiers["orphans"].reindexed == 5


async def test_an_index_that_is_not_made_yet_skips_its_tier(stack: Stack) -> None:
    await rows(stack, "delete from generations returning id")
    made, steps = await plan(stack)
    assert (made.tiers["orphans"].skipped, steps) == ("the index is not made yet", [])


async def test_the_index_away_skips_its_tier_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise UnavailableError("the index does not answer")

    monkeypatch.setattr(Vectors, "exists", away)
    async with open_stack(lenient(settings), index=False) as stack:
        gone = await put(stack, value=0.1, age_days=99)
        report = await run(stack)
        assert report.result == "partial"
        assert report.tiers["orphans"].skipped == "the index does not answer"
        assert set(await trash(stack)) == {gone}
        assert (await stack.collector.status()).last_success_at is None


async def test_an_index_that_is_gone_is_left_to_the_service(stack: Stack) -> None:
    await put(stack)
    await stack.indexer.drain()
    await stack.vectors.drop(await index_name(stack))
    made, steps = await plan(stack)
    told = "the index is away; the running service makes it anew"
    assert (made.tiers["orphans"].skipped, steps) == (told, [])


async def test_an_index_that_refuses_skips_its_tier(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(*_: object) -> None:
        raise UnexpectedResponse(400, "Bad Request", b"strict mode", httpx.Headers())

    await put(stack)
    await stack.indexer.drain()
    monkeypatch.setattr(Vectors, "scan", refuses)
    made, steps = await plan(stack)
    assert (made.tiers["orphans"].skipped, steps) == ("the index refuses to answer", [])
