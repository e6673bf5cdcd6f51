"""What each tier takes and what it leaves, the original's traps among it."""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from qdrant_client import models
from stock import (
    NGINX,
    ZONE,
    findable,
    index_name,
    lenient,
    live,
    opened,
    plan,
    put,
    rows,
    run,
    trash,
)

from aistack.coordinator.model import COLLECTION
from aistack.errors import UnavailableError
from aistack.gc.rails import RefusedError
from aistack.gc.tiers import orphans
from aistack.knowledge.vectors import Vectors
from aistack.settings.schema import Settings
from aistack.wiring import Stack, open_stack

pytestmark = pytest.mark.anyio


async def test_old_ones_of_low_value_expire(settings: Settings) -> None:
    async with open_stack(lenient(settings), index=False) as stack:
        gone = {
            await put(stack, value=0.49, age_days=31),
            await put(stack, value=0.0, age_days=400, used_days=31),
        }
        kept = {
            await put(stack, value=0.5, age_days=400),  # valuable enough
            await put(stack, value=0.1, age_days=29),  # young
            await put(stack, value=0.1, age_days=400, used_days=29),  # served a while ago
            await put(stack, value=0.1, age_days=400, pinned=True),
        }
        report = await run(stack)
        assert await trash(stack) == dict.fromkeys(gone, "expired")
        assert await live(stack) == kept
        assert await findable(stack) == {f"{own}.md" for own in kept}
        assert (report.live_before, report.live_after) == (6, 4)
        assert report.tiers["expired"].discards == 2


async def test_a_hard_age_takes_valuable_ones_too(settings: Settings) -> None:
    async with open_stack(lenient(settings, hard_max_age_days=100), index=False) as stack:
        old = await put(stack, value=0.9, age_days=101, used_days=1)
        both = await put(stack, value=0.1, age_days=101)
        await put(stack, value=0.9, age_days=99)
        await put(stack, value=0.9, age_days=999, pinned=True)
        await run(stack)
        assert await trash(stack) == {old: "too_old", both: "expired"}


async def test_equal_scores_are_decided_by_last_use_then_id(settings: Settings) -> None:
    """The original never pruned where all scores were equal."""
    rules = lenient(settings, max_solutions=10, keep_ratio=0.8)
    async with open_stack(rules, index=False) as stack:
        named = [
            await put(stack, value=0.7, age_days=1, own=UUID(int=n), used_days=1)
            for n in range(1, 9)
        ]
        longest = await put(stack, value=0.7, used_days=20, own=UUID(int=99))
        pinned = await put(stack, value=0.0, pinned=True)
        assert not (await run(stack)).tiers["low_value"].discards  # ten of ten
        extra = await put(stack, value=0.9)
        report = await run(stack)
        assert await trash(stack) == dict.fromkeys([longest, *named[:2]], "low_value")
        assert len(await live(stack)) == 8 == report.live_after
        assert {pinned, extra} <= await live(stack)
        assert not await run_deletes(stack)


async def run_deletes(stack: Stack) -> int:
    return sum(t.discards + t.points for t in (await run(stack)).tiers.values())


async def test_more_pinned_than_may_be_is_told(settings: Settings) -> None:
    rules = lenient(settings, max_solutions=2, keep_ratio=0.5)
    async with open_stack(rules, index=False) as stack:
        for _ in range(3):
            await put(stack, pinned=True)
        other = await put(stack)
        report = await run(stack)
        assert set(await trash(stack)) == {other}
        assert "pinned" in report.warnings[0]


async def test_two_answers_to_one_question_are_no_duplicates(settings: Settings) -> None:
    """The original compared questions alone."""
    async with open_stack(lenient(settings), index=False) as stack:
        await put(stack, NGINX, ZONE)
        await put(stack, NGINX, "Put haproxy before it and count by a stick-table of addresses")
        assert not await run_deletes(stack)


async def test_a_reworded_question_with_the_same_answer_is_one(settings: Settings) -> None:
    """The original compared texts letter by letter."""
    async with open_stack(lenient(settings), index=False) as stack:
        best = await put(stack, NGINX, ZONE, value=0.9, successes=3, uses=5, used_days=9)
        other = await put(
            stack, "How can I limit nginx requests?", ZONE + ".",
            value=0.4, successes=2, uses=4, used_days=3, feedback_sum=1.5, feedback_count=2,
        )  # fmt: skip
        pinned = await put(stack, "unlike all others", "and so is this", pinned=True)
        made, (step,) = await plan(stack)
        assert (step.subject, step.keeper, step.reason) == (other, best, "duplicate")
        assert step.evidence["question"] >= 0.95
        assert made.tiers["duplicates"].discards == 1
        assert await live(stack) == {best, other, pinned}, "a plan changes nothing"
        await run(stack)
        assert await trash(stack) == {other: "duplicate"}
        (row,) = await rows(stack, "select * from solutions where id = %(id)s", id=best)
        assert (row["successes"], row["uses"]) == (5, 9)
        assert (row["feedback_sum"], row["feedback_count"]) == (1.5, 2)
        assert row["examples"] == ["How can I limit nginx requests?"]
        assert row["last_used_at"] is not None
        assert await findable(stack) == {f"{own}.md" for own in (best, pinned)}


async def test_duplicates_by_meaning(settings: Settings) -> None:
    one, near, far = [1.0, 0.0, 0.1], [1.0, 0.05, 0.1], [0.0, 1.0, 0.1]
    async with open_stack(lenient(settings), index=False) as stack:
        best = await put(stack, "a", "b", vectors=(one, one), value=0.8)
        twin = await put(stack, "c", "d", vectors=(near, near), value=0.7)
        await put(stack, "e", "f", vectors=(near, far), value=0.6)
        await put(stack, "g", "h", vectors=(far, near), value=0.6)
        pinned = await put(stack, "i", "j", vectors=(one, one), value=0.0, pinned=True)
        await run(stack)
        assert await trash(stack) == dict.fromkeys((best, twin), "duplicate")
        for row in await rows(stack, "select keeper, evidence from gc_deletions"):
            assert row["keeper"] == pinned, "the pinned one is best of all"
            assert min(row["evidence"]["question"], row["evidence"]["answer"]) >= 0.95


async def test_vectors_of_another_length_are_another_kind(settings: Settings) -> None:
    """A model can keep its name and change its dimension: neither is compared with the other."""
    short, long = [1.0, 0.0], [1.0, 0.0, 0.0]
    async with open_stack(lenient(settings), index=False) as stack:
        kept = {
            await put(stack, "a", "b", vectors=(short, short), value=0.9),
            await put(stack, "c", "d", vectors=(long, long), value=0.9),
        }
        twins = {
            await put(stack, "e", "f", vectors=(short, short), value=0.6),
            await put(stack, "g", "h", vectors=(long, long), value=0.6),
        }
        await run(stack)
        assert await trash(stack) == dict.fromkeys(twins, "duplicate")
        assert await live(stack) == kept


async def test_what_is_like_a_duplicate_need_not_be_one(settings: Settings) -> None:
    """a ~ b and b ~ c, but not a ~ c: with b gone for a, c has nobody to go for."""
    a, b, c = [1.0, 0.0], [0.96, 0.28], [0.843, 0.538]
    async with open_stack(lenient(settings), index=False) as stack:
        kept = {
            await put(stack, "a", "a", vectors=(a, a), value=0.9),
            await put(stack, "c", "c", vectors=(c, c), value=0.5),
        }
        middle = await put(stack, "b", "b", vectors=(b, b), value=0.7)
        await run(stack, full=True)
        assert await trash(stack) == {middle: "duplicate"}
        assert await live(stack) == kept


async def test_only_new_ones_are_compared(settings: Settings) -> None:
    async with open_stack(lenient(settings), index=False) as stack:
        await put(stack, NGINX, ZONE, age_days=1)
        await run(stack)
        await rows(stack, "update solutions set answer = 'something else' returning id")
        old = await put(stack, NGINX, "something else", age_days=1, value=0.1)
        assert not await run_deletes(stack)
        new = await put(stack, NGINX, "something else", value=0.2)
        await rows(
            stack,
            "update solutions set created_at = now() + interval '1 s' where id = %(id)s"
            " returning id",
            id=new,
        )
        assert await run_deletes(stack) == 1
        assert set(await trash(stack)) == {new}
        assert await live(stack) & {old}
        assert (await run(stack, full=True)).tiers["duplicates"].discards == 1
    async with open_stack(lenient(settings, duplicate_similarity=0.9), index=False) as stack:
        _, steps = await plan(stack)
        assert not steps, "with another setting all are compared, and no other was alike"


async def test_a_point_without_a_passage_goes_after_the_grace(stack: Stack) -> None:
    own = await put(stack)
    await stack.indexer.drain()
    index = await index_name(stack)

    def point(own: int | str, age_s: float, document: object) -> models.PointStruct:
        payload = {"document": document, "indexed_at": int(time.time() - age_s)}
        vector = models.SparseVector(indices=[1], values=[1.0])
        return models.PointStruct(id=own, vector={"bm25": vector}, payload=payload)

    old, young, waits = str(uuid4()), str(uuid4()), str(uuid4())
    waiting = uuid4()
    (generation,) = await rows(
        stack, "select id from generations where collection = %(c)s", c=COLLECTION
    )
    points = [
        point(old, 7200, str(uuid4())),
        point(young, 60, str(uuid4())),
        point(waits, 7200, str(waiting)),
        point(5, 7200, str(uuid4())),  # the original compared 5 with "5" and deleted everything
        point(str(uuid4()), 7200, None),
        point(str(uuid4()), 7200, "no id"),
    ]
    await stack.qdrant.run(lambda c: c.upsert(index, points))
    async with stack.postgres.transaction() as conn:
        await conn.execute(
            "insert into outbox (generation, document_id) values (%(g)s, %(d)s)",
            {"g": generation["id"], "d": waiting},
        )
    made, (step,) = await plan(stack)
    assert (step.action, str(step.subject)) == ("drop_point", old)
    assert made.tiers["orphans"].foreign == 3
    await run(stack)
    left = {str(p.id) for p in (await stack.qdrant.run(lambda c: c.scroll(index, limit=100)))[0]}
    assert old not in left
    assert len(left) == 7, left  # five of these, and the solution's two
    assert await live(stack) == {own}
    (deletion,) = [d async for d in stack.collector.deletions(1)]
    assert (str(deletion.subject), deletion.reason) == (old, "orphan")


async def test_a_batch_that_is_tried_again_counts_once(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of a point is safe before the point goes; then the index does not answer."""
    await put(stack)
    await stack.indexer.drain()
    index = await index_name(stack)
    payload = {"document": str(uuid4()), "indexed_at": int(time.time() - 7200)}
    vector = models.SparseVector(indices=[1], values=[1.0])
    point = models.PointStruct(id=str(uuid4()), vector={"bm25": vector}, payload=payload)
    await stack.qdrant.run(lambda c: c.upsert(index, [point]))
    delete, failures = Vectors.delete, iter([True])

    async def fails_once(*args: Any) -> None:
        if next(failures, False):
            raise UnavailableError("the index does not answer", retry_after_s=0)
        await delete(*args)

    monkeypatch.setattr(Vectors, "delete", fails_once)
    assert (await run(stack)).result == "ok"
    assert await stack.vectors.present(index, [str(point.id)]) == set()
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
        index = await index_name(stack)
        points = [
            models.PointStruct(
                id=str(uuid4()),
                vector={"bm25": models.SparseVector(indices=[1], values=[1.0])},
                payload={"document": str(uuid4()), "indexed_at": at},
            )
            for _ in range(10)
        ]
        await stack.qdrant.run(lambda c: c.upsert(index, points))
        made, steps = await plan(stack)
    report = made.tiers["orphans"]
    # A quarter of twelve: the solution has two.
    assert (report.points, report.held_back) == (3, 7)
    told = {str(step.subject): step.evidence for step in steps}
    documents = {point.id: (point.payload or {})["document"] for point in points}
    assert len(told) == 3
    for point, evidence in told.items():
        when = datetime.fromtimestamp(at, UTC).isoformat()
        assert evidence == {"document": documents[point], "indexed_at": when}


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


async def test_an_empty_table_beside_a_full_index_is_refused(stack: Stack) -> None:
    """The original took an empty table for the truth and deleted every vector."""
    for _ in range(3):
        await put(stack)
    await stack.indexer.drain()
    await rows(stack, "delete from solutions returning id")
    with pytest.raises(RefusedError, match=r"restored whole.*--force"):
        await plan(stack)
    with pytest.raises(RefusedError):
        await run(stack)
    (info,) = await stack.collector.history()
    assert (info.result, info.deleted) == ("refused", 0)
    assert "the index has 6 passages" in info.report["error"]
    assert (await run(stack, force=True)).result == "ok"


async def test_half_of_the_last_run_gone_is_refused(stack: Stack) -> None:
    for _ in range(10):
        await put(stack)
    await run(stack)
    await rows(stack, "delete from solutions where id in (select id from solutions limit 5)"
               " returning id")  # fmt: skip
    await run(stack)  # five of ten: as many as half
    await rows(stack, "delete from solutions where id in (select id from solutions limit 3)"
               " returning id")  # fmt: skip
    with pytest.raises(RefusedError, match=r"has 2 solutions; after the last run there were 5"):
        await run(stack)
    await run(stack, force=True)
    await run(stack)  # the forced one is the new measure


async def test_a_run_takes_a_small_share_at_most(settings: Settings) -> None:
    async with opened(settings, max_fraction=0.1) as stack:
        worst = [await put(stack, value=n / 100, age_days=50) for n in range(30)]
        for _ in range(10):
            await put(stack)
        report = await run(stack)
        assert set(await trash(stack)) == set(worst[:4]), "the least valuable first"
        assert report.tiers["expired"].held_back == 26
        for _ in range(20):
            await run(stack)
        assert set(await trash(stack)) == set(worst)


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
