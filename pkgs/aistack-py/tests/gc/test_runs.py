"""Runs: one at a time, undone, swept, counted; whatever interrupts them."""

import asyncio
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families
from psycopg.types.json import Jsonb
from stock import NGINX, NOW, ZONE, findable, lenient, live, opened, plan, put, rows, run, trash

from aistack.access.model import LOCAL_OPERATOR
from aistack.coordinator.model import NewInteraction, NewOutcome
from aistack.errors import NotFoundError
from aistack.gc.collector import BusyError
from aistack.gc.metrics import GcMetrics
from aistack.settings.schema import Screening, Settings, Validation
from aistack.wiring import Stack, open_stack

pytestmark = pytest.mark.anyio

STATE = (
    "select id, question, answer, tags, examples, value, successes, partials, failures,"
    " feedback_sum, feedback_count, uses, pinned, deleted_at from solutions order by id"
)


async def age(stack: Stack, days: float, *tables: str) -> None:
    """Let days go by for what is in the trash, or in other tables."""
    for column in tables or ("solutions.deleted_at",):
        table, name = column.split(".")
        await rows(
            stack,
            f"update {table} set {name} = {name} - %(days)s * interval '1 day' returning 1",  # noqa: S608
            days=days,
        )


async def test_undo_brings_back_what_a_run_took(settings: Settings) -> None:
    async with open_stack(lenient(settings), index=False) as stack:
        best = await put(stack, NGINX, ZONE, value=0.9, successes=3, uses=5)
        twin = await put(
            stack, "How can I limit nginx requests?", ZONE,
            successes=2, uses=4, feedback_sum=-0.1, feedback_count=1,
        )  # fmt: skip
        old = await put(stack, value=0.1, age_days=40)
        before = await rows(stack, STATE)
        # What the counters say of the parts: put() made them up.
        report = await run(stack)
        assert set(await trash(stack)) == {twin, old}
        done = await stack.collector.undo(report.run)
        assert (done.restored, done.refused) == (2, 0)
        after = await rows(stack, STATE)
        for one, other in zip(before, after, strict=True):
            if one["id"] != best:
                assert one == other
            else:
                assert {**one, "value": 0} == {**other, "value": 0}
        assert await findable(stack) == {f"{own}.md" for own in (best, twin, old)}
        assert (await stack.collector.undo(report.run)).restored == 0, "twice is no more"
        assert not (await plan(stack))[1], "nor are they taken again at once"
        (undo, _) = (await stack.collector.history())[1:]
        assert (undo.kind, undo.undoes) == ("undo", report.run)


async def test_an_outcome_told_after_a_merge_counts_where_it_must(settings: Settings) -> None:
    async with open_stack(lenient(settings), index=False) as stack:
        interactions = stack.coordinator.interactions

        async def tell(question: str, response: str) -> tuple[UUID, UUID]:
            new = NewInteraction(question=question, response=response, outcome="success")
            told = (await interactions.record(LOCAL_OPERATOR, new)).interaction
            await stack.indexer.drain()
            assert told.solution_id is not None
            return told.id, told.solution_id

        _, best = await tell(NGINX, ZONE)
        one, twin = await tell("something else altogether", "and another answer to it")
        await rows(
            stack, "update solutions set question = %(q)s, answer = %(a)s, value = 0"
            " where id = %(id)s returning id", q=NGINX + "?", a=ZONE, id=twin,
        )  # fmt: skip
        report = await run(stack)
        assert set(await trash(stack)) == {twin}

        async def counted() -> list[tuple[int, int]]:
            query = "select successes, failures from solutions order by id = %(id)s desc"
            return [(r["successes"], r["failures"]) for r in await rows(stack, query, id=best)]

        assert await counted() == [(2, 0), (1, 0)]
        await interactions.set_outcome(LOCAL_OPERATOR, one, NewOutcome(outcome="failure"))
        assert await counted() == [(1, 1), (0, 1)]
        await stack.collector.undo(report.run)
        assert await counted() == [(1, 0), (0, 1)]

        await rows(stack, "update solutions set value = 0 where id = %(id)s returning id", id=twin)
        await run(stack, full=True)
        await age(stack, 8)
        await run(stack)  # the trash is emptied: the interaction belongs to the keeper now
        assert await counted() == [(1, 1)]
        (row,) = await rows(stack, "select solution_id from interactions where id = %(i)s", i=one)
        assert row["solution_id"] == best
        await interactions.set_outcome(LOCAL_OPERATOR, one, NewOutcome(outcome="success"))
        assert await counted() == [(2, 0)]


async def test_a_duplicate_of_a_duplicate(settings: Settings) -> None:
    """The keeper of one run is the duplicate of the next; both come back in any order."""
    a, b = [1.0, 0.0], [0.99, 0.14]
    for first in (0, 1):
        async with open_stack(lenient(settings), index=False) as stack:
            await rows(stack, "delete from gc_runs returning 1")
            await rows(stack, "delete from solutions returning 1")
            ids = [await put(stack, f"{n}", f"{n}", vectors=(a, b), successes=n) for n in (1, 2)]
            ids.append(await put(stack, "3", "3", vectors=(a, b), successes=4, value=0.1))
            await rows(stack, "update solutions set value = 0.3 where id = %(i)s returning 1",
                       i=ids[0])  # fmt: skip
            await rows(stack, "update solutions set pinned = true where id = %(i)s returning 1",
                       i=ids[2])  # fmt: skip

            async def successes() -> list[int]:
                query = "select id, successes from solutions"
                found = {r["id"]: r["successes"] for r in await rows(stack, query)}
                return [found[i] for i in ids]  # noqa: B023

            await rows(stack, "update solutions set question = 'x' || question,"
                       " question_vector = null, answer_vector = null, vector_model = null"
                       " where id = %(i)s returning 1", i=ids[2])  # fmt: skip
            one = (await run(stack, full=True)).run
            assert await successes() == [1, 3, 4]
            await rows(stack, "update solutions s set vector_model = 'toy', question_vector ="
                       " o.question_vector, answer_vector = o.answer_vector from solutions o"
                       " where s.id = %(i)s and o.id = %(o)s returning 1",
                       i=ids[2], o=ids[1])  # fmt: skip
            two = (await run(stack, full=True)).run
            assert await successes() == [1, 3, 7]
            runs = [one, two]
            await stack.collector.undo(runs[first])
            assert await successes() == ([1, 2, 6] if first == 0 else [1, 3, 4])
            await stack.collector.undo(runs[1 - first])
            assert await successes() == [1, 2, 4]
            assert await live(stack) == set(ids)


async def test_the_trash_is_emptied_after_its_days(settings: Settings) -> None:
    async with open_stack(lenient(settings), index=False) as stack:
        own = await put(stack, value=0.1, age_days=40)
        number = (await run(stack)).run
        await age(stack, 6.9)
        await run(stack)
        assert set(await trash(stack)) == {own}
        await age(stack, 0.2)
        made, _ = await plan(stack)
        assert next(s.rows for s in made.sweeps if s.kind == "trash") == 1
        await run(stack)
        assert not await rows(stack, "select id from solutions")
        assert (await stack.collector.undo(number)).restored == 0
        (deletion,) = [d async for d in stack.collector.deletions(number)]
        assert deletion.subject == own, "the record outlives it"


async def test_undo_of_nothing(stack: Stack) -> None:
    await run(stack)
    with pytest.raises(NotFoundError, match="no run 7"):
        await stack.collector.undo(7)
    undo = (await stack.collector.undo(1)).run
    with pytest.raises(NotFoundError):
        await stack.collector.undo(undo)


async def test_undo_leaves_what_is_refused_by_now(settings: Settings) -> None:
    secret = "AKIA" + "Q7RT4ZX3WM2KJ5PL"
    lax = structs.replace(
        lenient(settings), validation=Validation(documents=Screening(credentials="observe"))
    )
    async with open_stack(lax, index=False) as stack:
        bad = await put(stack, answer=f"aws_access_key_id = {secret}", value=0, age_days=40)
        good = await put(stack, value=0, age_days=40)
        number = (await run(stack)).run
    async with open_stack(lenient(settings), index=False) as stack:
        done = await stack.collector.undo(number)
        assert (done.restored, done.refused) == (1, 1)
        assert set(await trash(stack)) == {bad}
        assert await live(stack) == {good}


async def test_old_interactions_and_records_go(settings: Settings) -> None:
    async with opened(settings, interactions_days=30, history_days=60) as stack:
        for _ in range(3):
            new = NewInteraction(question="q", response="a")
            await stack.coordinator.interactions.record(LOCAL_OPERATOR, new)
        await rows(
            stack, "update interactions set created_at = %(at)s where id in"
            " (select id from interactions limit 2) returning id", at=NOW - timedelta(days=31),
        )  # fmt: skip
        await run(stack)
        assert len(await rows(stack, "select id from interactions")) == 1
        await run(stack)
        await age(stack, 61, "gc_runs.started_at")
        report = await run(stack)
        assert [r.id for r in await stack.collector.history()] == [report.run, report.run - 1], (
            "the newest one that came to its end is still asked for"
        )
        text = (await GcMetrics(stack.postgres).render()).decode()
        assert 'hybrid_gc_swept_total{kind="interactions"} 2.0' in text
        assert 'hybrid_gc_swept_total{kind="history"} 1.0' in text
        assert 'hybrid_gc_swept_total{kind="outbox"} 0.0' in text
    async with opened(settings, interactions_days=0) as stack:
        await age(stack, 9999, "interactions.created_at")
        await run(stack)
        assert len(await rows(stack, "select id from interactions")) == 1


async def test_what_changed_since_the_plan_stays(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the plan and its application someone pins, serves, judges and deletes."""
    async with open_stack(lenient(settings), index=False) as stack:
        pinned, served, judged, gone, plain = [
            await put(stack, value=0.1, age_days=40) for _ in range(5)
        ]
        apply = stack.collector._applier.apply

        async def later(*args: object) -> int:
            values = {"a": pinned, "b": served, "c": judged, "d": gone}
            for statement in (
                "update solutions set pinned = true where id = %(a)s returning 1",
                "update solutions set last_used_at = now() where id = %(b)s returning 1",
                "update solutions set updated_at = now() where id = %(c)s returning 1",
                "delete from solutions where id = %(d)s returning 1",
            ):
                await rows(stack, statement, **values)
            return await apply(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(stack.collector._applier, "apply", later)
        report = await run(stack)
        assert report.unchanged == 4
        assert set(await trash(stack)) == {plain}


async def test_two_hosts_at_once(settings: Settings) -> None:
    rules = lenient(settings)
    elsewhere = structs.replace(
        rules, qdrant=structs.replace(rules.qdrant, path=f"{rules.qdrant.path}-2")
    )
    async with (
        open_stack(rules, index=False) as one,
        open_stack(elsewhere, index=False) as two,
    ):
        for _ in range(300):
            await put(one, value=0.1, age_days=40)
        results = await asyncio.gather(run(one), run(two), return_exceptions=True)
        busy = [r for r in results if isinstance(r, BusyError)]
        assert len(busy) == 1
        assert "under way" in busy[0].detail
        assert len(await trash(one)) == 300
        assert len(await rows(one, "select * from gc_deletions")) == 300
        assert not (await one.collector.status()).running


async def test_a_run_without_its_lock_ends(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, dsn: str
) -> None:
    """A connection that is cut takes the lock along; another run may begin."""
    async with open_stack(lenient(settings), index=False) as stack:
        for _ in range(150):
            await put(stack, value=0.1, age_days=40)
        batch = stack.collector._applier._batch

        async def cut(*args: object) -> int:
            done = await batch(*args)  # type: ignore[arg-type]
            with psycopg.connect(dsn, autocommit=True) as conn:
                conn.execute(
                    "select pg_terminate_backend(pid) from pg_locks"
                    " where locktype = 'advisory' and objsubid = 1"
                )
            return done

        monkeypatch.setattr(stack.collector._applier, "_batch", cut)
        with pytest.raises(Exception, match="does not answer"):
            await run(stack)
        monkeypatch.undo()
        assert len(await trash(stack)) == 100, "one batch, and that one whole"
        assert (await stack.collector.history())[0].result == "failed"
        await run(stack)
        assert len(await trash(stack)) == 150


async def test_a_killed_run_is_told_by_the_next(stack: Stack) -> None:
    await stack.indexer.drain()
    await rows(stack, "insert into gc_runs (kind) values ('run') returning id")
    assert (await stack.collector.history())[0].result == "running"
    await run(stack)
    assert [r.result for r in await stack.collector.history()] == ["ok", "killed"]
    text = (await GcMetrics(stack.postgres).render()).decode()
    assert 'hybrid_gc_runs_total{result="killed"} 1.0' in text


async def test_metrics(settings: Settings) -> None:
    async with open_stack(lenient(settings, max_solutions=4), index=False) as stack:
        text = (await GcMetrics(stack.postgres).render()).decode()
        assert 'hybrid_gc_solutions_deleted_total{reason="duplicate"} 0.0' in text
        assert "hybrid_gc_last_success_timestamp" not in text, "it never worked"
        await put(stack, NGINX, ZONE)
        await put(stack, NGINX + "?", ZONE)
        await put(stack, value=0.1, age_days=40)
        for _ in range(4):
            await put(stack)
        await stack.indexer.drain()
        number = (await run(stack)).run
        await stack.collector.undo(number)
        text = (await GcMetrics(stack.postgres).render()).decode()
        samples = {
            (s.name, *s.labels.values()): s.value
            for family in text_string_to_metric_families(text)
            for s in family.samples
        }
        deleted = "hybrid_gc_solutions_deleted_total"
        assert samples[deleted, "duplicate"] == samples[deleted, "expired"] == 1
        assert samples[deleted, "low_value"] == 2
        assert samples["hybrid_gc_solutions_restored_total",] == 4
        assert samples["hybrid_gc_runs_total", "ok"] == 1
        assert samples["hybrid_gc_runs_total", "failed"] == 0
        assert samples["hybrid_gc_execution_seconds_count", "orphans"] == 1
        assert samples["hybrid_gc_execution_seconds_sum", "orphans"] > 0
        assert samples["hybrid_gc_storage_bytes",] > 8192
        assert samples["hybrid_gc_trash_solutions",] == 0
        (info,) = [r for r in await stack.collector.history() if r.id == number]
        assert info.finished_at is not None
        assert samples["hybrid_gc_last_success_timestamp",] == info.finished_at.timestamp()


async def test_clock_steps(settings: Settings) -> None:
    """What was learned, used or put away in the future is not old, and everything is compared."""
    async with open_stack(lenient(settings), index=False) as stack:
        await put(stack, value=0.1, age_days=-400)
        await put(stack, NGINX, ZONE, age_days=1, value=0.9)
        await run(stack)
        await age(stack, -400, "gc_runs.compared_until", "gc_runs.started_at")
        twin = await put(stack, NGINX, ZONE + ".", age_days=2)
        await run(stack)
        assert set(await trash(stack)) == {twin}
        await age(stack, -400)
        await run(stack)
        assert set(await trash(stack)) == {twin}


async def test_what_is_committed_during_a_run_is_compared_by_the_next(settings: Settings) -> None:
    """Its time is that of the beginning of its transaction: before the run, unseen by it."""
    async with open_stack(lenient(settings), index=False) as stack:
        await put(stack, NGINX, ZONE, value=0.9, age_days=1)
        twin = await put(stack, NGINX, ZONE + ".", value=0.1)
        (row,) = await rows(stack, "select * from solutions where id = %(i)s", i=twin)
        await rows(stack, "delete from solutions where id = %(i)s returning 1", i=twin)
        async with stack.postgres.transaction() as conn:
            await conn.execute(
                "insert into solutions (id, question, answer, value, parts, document_id)"
                " values (%(id)s, %(question)s, %(answer)s, %(value)s, %(parts)s, %(document_id)s)",
                row | {"parts": Jsonb(row["parts"])},
            )
            assert not (await run(stack)).tiers["duplicates"].discards
        assert (await run(stack)).tiers["duplicates"].discards == 1
        assert set(await trash(stack)) == {twin}
