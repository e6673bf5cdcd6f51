"""What age and value take and what they leave, the original's traps among it."""

from uuid import UUID

import pytest
from stock import (
    NGINX,
    ZONE,
    findable,
    lenient,
    live,
    opened,
    plan,
    put,
    rows,
    run,
    run_deletes,
    trash,
)

from aistack.coordinator.trash import Seen
from aistack.gc import ranking
from aistack.gc.model import Step
from aistack.settings.schema import Settings
from aistack.wiring import open_stack

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


async def test_more_pinned_than_may_be_is_told(settings: Settings) -> None:
    rules = lenient(settings, max_solutions=2, keep_ratio=0.5)
    async with open_stack(rules, index=False) as stack:
        for _ in range(3):
            await put(stack, pinned=True)
        other = await put(stack)
        report = await run(stack)
        assert set(await trash(stack)) == {other}
        assert report.warnings == [
            "2 solutions more should go for gc.max_solutions, "
            "but are pinned, or stay for duplicates that go now"
        ]


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


async def test_what_expires_is_told_with_what_was_seen(settings: Settings) -> None:
    rules = lenient(settings, hard_max_age_days=100)
    async with open_stack(rules, index=False) as stack:
        low = await put(stack, value=0.123456, age_days=50, used_days=40)
        old = await put(stack, value=0.987654, age_days=101)
        made, steps = await plan(stack)
        found = await rows(stack, "select * from solutions order by value")
    assert steps == [
        Step(
            tier="expired",
            action="discard",
            subject=own,
            reason=reason,
            evidence={
                "value": value,
                "learned_at": row["created_at"].isoformat(),
                "used_at": (row["last_used_at"] or row["created_at"]).isoformat(),
            },
            seen=Seen.of(row),
        )
        for row, own, reason, value in zip(
            found, (low, old), ("expired", "too_old"), (0.1235, 0.9877), strict=True
        )
    ]
    assert made.tiers["expired"].discards == 2


async def test_a_hard_age_is_within_the_same_allowance(settings: Settings) -> None:
    async with opened(settings, max_fraction=0.2, hard_max_age_days=100) as stack:
        for _ in range(3):
            await put(stack, value=0.1, age_days=200)
        for value in (0.5, 0.6, 0.7, 0.8):
            await put(stack, value=value, age_days=200)
        for _ in range(3):
            await put(stack, value=0.1, age_days=200, used_days=1)
        made, steps = await plan(stack)
    report = made.tiers["expired"]
    assert [step.reason for step in steps] == ["expired", "expired"]
    assert (report.discards, report.held_back) == (2, 8), "each is counted once"


async def test_all_pages_of_a_ranking_are_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ties of value and of use go over the end of a page."""
    monkeypatch.setattr(ranking, "_PAGE", 2)
    async with open_stack(lenient(settings), index=False) as stack:
        ranked = [
            await put(stack, value=value, age_days=99, used_days=used, own=UUID(int=own))
            for value, used, own in [
                (0.1, 90, 8), (0.2, 90, 3), (0.2, 90, 4), (0.2, 90, 5), (0.2, 80, 2),
                (0.2, None, 1), (0.3, 80, 7), (0.3, 80, 9),
            ]
        ]  # fmt: skip
        never = ranked.pop(5)
        ranked.insert(1, never)  # last used when it was learned
        assert [step.subject for step in (await plan(stack))[1]] == ranked


async def test_too_many_lose_the_least_valuable(settings: Settings) -> None:
    """What goes anyway is counted, and who stays for a duplicate is passed over."""
    rules = lenient(settings, max_solutions=4, keep_ratio=0.5)
    async with open_stack(rules, index=False) as stack:
        old = await put(stack, value=0.1, age_days=99)
        keeper = await put(stack, NGINX, ZONE, value=0.3)
        twin = await put(stack, NGINX, ZONE, value=0.2)
        going = [await put(stack, value=0.4 + n / 10 + 0.00006, age_days=1) for n in range(3)]
        best = await put(stack, value=0.9)
        made, steps = await plan(stack)
        query = "select * from solutions where id = any(%(ids)s) order by value"
        found = await rows(stack, query, ids=going)
    told = {step.subject: step for step in steps}
    assert list(told) == [old, twin, *going]
    assert {keeper, best}.isdisjoint(told)
    for row, value in zip(found, (0.4001, 0.5001, 0.6001), strict=True):
        assert told[row["id"]] == Step(
            tier="low_value",
            action="discard",
            subject=row["id"],
            reason="low_value",
            evidence={
                "value": value,
                "used_at": row["created_at"].isoformat(),
                "solutions": 7,
                "max_solutions": 4,
            },
            seen=Seen.of(row),
        )
    assert made.tiers["low_value"].discards == 3
    assert not made.warnings


async def test_one_too_many_is_one(settings: Settings) -> None:
    rules = lenient(settings, max_solutions=2, keep_ratio=1.0)
    async with open_stack(rules, index=False) as stack:
        worst, *_ = [await put(stack, value=n / 10) for n in (6, 7)]
        assert not await run_deletes(stack)
        await put(stack, value=0.8)
        assert [step.subject for step in (await plan(stack))[1]] == [worst]
