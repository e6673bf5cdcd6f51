"""Training data: all of it, in one order, in little memory."""

import tracemalloc
from datetime import timedelta

import msgspec
import pytest
from toy import bound_to, rows, tell

from aistack.access.model import LOCAL_OPERATOR, Principal
from aistack.coordinator.model import COLLECTION, Example, TrainingPageQuery, TrainingQuery
from aistack.errors import ForbiddenError, InvalidError, UnavailableError
from aistack.wiring import Stack

pytestmark = pytest.mark.anyio


async def export(
    stack: Stack, query: TrainingQuery, principal: Principal = LOCAL_OPERATOR
) -> list[Example]:
    chunks = [c async for c in await stack.coordinator.training.export(principal, query)]
    return [msgspec.json.decode(line, type=Example) for line in b"".join(chunks).splitlines()]


async def fill(stack: Stack, count: int, size: int = 10) -> None:
    async with stack.postgres.transaction() as conn:
        await conn.execute(
            """insert into interactions (created_at, created_by, question, response, outcome,
                                         value, parts)
               select now() - make_interval(secs => (n * 7919) %% 1000), 'k' || n %% 2,
                      'question ' || n, repeat('x', %(size)s), 'success', (n %% 100) / 100.0, '{}'
               from generate_series(1, %(count)s) as n""",
            {"count": count, "size": size},
        )


async def test_examples_come_in_time_order_and_filtered(stack: Stack) -> None:
    await tell(stack, "first", "good answer", drain=False, tags=["a"], agent="me", model="m")
    await tell(stack, "second", "bad answer", outcome="failure", drain=False)
    await tell(stack, "third", "unknown answer", outcome=None, drain=False)
    made = await tell(stack, "fourth", "another good answer", drain=False)
    found = await export(stack, TrainingQuery())
    assert [e.messages[0].content for e in found] == ["first", "second", "fourth"]
    assert [m.role for m in found[0].messages] == ["user", "assistant"]
    about = found[0].metadata
    assert (about.tags, about.agent, about.model, about.outcome) == (["a"], "me", "m", "success")
    assert about.solution_id is not None
    good = await export(stack, TrainingQuery(outcome="success"))
    assert [e.messages[0].content for e in good] == ["first", "fourth"]
    assert len(await export(stack, TrainingQuery(min_value=0.5))) == 2
    late = TrainingQuery(since=made.created_at)
    assert [e.messages[0].content for e in await export(stack, late)] == ["fourth"]
    never = TrainingQuery(since=made.created_at + timedelta(days=1))
    assert await export(stack, never) == []


async def test_the_order_is_stable_and_the_same_by_pages(stack: Stack) -> None:
    await fill(stack, 333)
    whole = await export(stack, TrainingQuery(min_value=0.3))
    order = [(e.metadata.created_at, e.metadata.id) for e in whole]
    assert order == sorted(order)
    assert len({e.metadata.id for e in whole}) == len(whole) > 200
    assert await export(stack, TrainingQuery(min_value=0.3)) == whole
    pages: list[Example] = []
    cursor = None
    while True:
        query = TrainingPageQuery(min_value=0.3, limit=50, cursor=cursor)
        page = await stack.coordinator.training.page(LOCAL_OPERATOR, query)
        pages += page.examples
        cursor = page.next_cursor
        if not page.has_more:
            break
    assert pages == whole
    bad = TrainingPageQuery(cursor="AAAA")
    with pytest.raises(InvalidError):
        await stack.coordinator.training.page(LOCAL_OPERATOR, bad)


@pytest.mark.slow
@pytest.mark.repeats
async def test_memory_does_not_grow_with_the_data(stack: Stack) -> None:
    await fill(stack, 3000, size=20_000)
    sent = 0
    tracemalloc.start()
    try:
        async for chunk in await stack.coordinator.training.export(LOCAL_OPERATOR, TrainingQuery()):
            sent += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent > 60_000_000
    assert peak < 12_000_000


async def test_exports_are_few_and_a_broken_off_one_makes_room(stack: Stack) -> None:
    await fill(stack, 200)
    training = stack.coordinator.training
    running = [await training.export(LOCAL_OPERATOR, TrainingQuery()) for _ in range(2)]
    with pytest.raises(UnavailableError):
        await training.export(LOCAL_OPERATOR, TrainingQuery())
    await anext(running[0])
    await running[0].aclose()  # type: ignore[attr-defined]  # it is a generator
    assert len(await export(stack, TrainingQuery())) == 200
    assert len([c async for c in running[1]]) == 4
    backends = (
        "select 1 from pg_stat_activity"
        " where datname = current_database() and state like 'idle in%'"
    )
    assert await rows(stack, backends) == []


async def test_a_bound_key_exports_its_own_and_a_writer_nothing(stack: Stack) -> None:
    await tell(stack, drain=False)
    own = bound_to(COLLECTION)
    await tell(stack, principal=own, drain=False)
    assert len(await export(stack, TrainingQuery())) == 2
    assert len(await export(stack, TrainingQuery(), own)) == 1
    writer = Principal("w", "w", frozenset({"write"}))
    with pytest.raises(ForbiddenError):
        await stack.coordinator.training.export(writer, TrainingQuery())
