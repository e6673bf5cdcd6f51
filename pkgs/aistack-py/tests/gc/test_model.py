"""Whatever happens in whatever order: the store against a model of a hundred lines.

The model knows the rules of docs/explanation/garbage-collection.md and nothing of how they are
done. A run that is killed may have taken a part; then the model only holds what must be true of
any store, and goes on from what it finds.
"""

import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import settings as hypothesis_settings, strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from stock import PARTS, findable, index_name, lenient, put, rows
from test_crash import CrashError, crash_at, free

from aistack.coordinator import value
from aistack.coordinator.value import Counters
from aistack.gc.context import most
from aistack.gc.plan import PlanFile
from aistack.settings.schema import Settings, Weights
from aistack.wiring import Stack, open_stack

pytestmark = [pytest.mark.slow, pytest.mark.repeats, pytest.mark.timeout(900)]

T = TypeVar("T")

EXAMPLES = int(os.environ.get("AISTACK_GC_EXAMPLES", "15"))
MAX_SOLUTIONS, KEEP, FRACTION = 12, 0.75, 0.5
CONTENTS = 4
"""Two questions with two answers each: solutions of one content are duplicates."""


@dataclass
class Kept:
    """A solution as the model knows it."""

    id: UUID
    content: int
    value: float
    created: datetime
    used: datetime | None = None
    restored: datetime | None = None
    pinned: bool = False
    own: int = 1
    """Successes of its own, and of duplicates that are gone for good."""
    run: int | None = None
    """In the trash since this run."""
    gone_at: datetime | None = None
    keeper: UUID | None = None

    @property
    def used_at(self) -> datetime:
        return self.used or self.created

    @property
    def rank(self) -> tuple[Any, ...]:
        return (self.value, self.used_at, self.id)

    def expired(self, now: datetime) -> bool:
        newest = max(at for at in (self.created, self.used, self.restored) if at is not None)
        return self.value < 0.5 and newest < now - timedelta(days=30)


@dataclass
class Model:
    """The rules, as plainly as they can be said."""

    all: dict[UUID, Kept] = field(default_factory=dict)
    compared_until: datetime | None = None

    def live(self) -> list[Kept]:
        return [kept for kept in self.all.values() if kept.run is None]

    def successes(self, own: UUID) -> int:
        below = (k.id for k in self.all.values() if k.keeper == own)
        return self.all[own].own + sum(map(self.successes, below))

    def recount(self, own: UUID | None) -> None:
        while own is not None and own in self.all:
            counters = Counters(successes=self.successes(own))
            half = PARTS["complexity"]
            parts = value.parts_of(counters, complexity=half, novelty=half)
            self.all[own].value = value.score(parts, Weights())
            own = self.all[own].keeper

    def collect(self, run: int, now: datetime, *, full: bool = False) -> dict[UUID, str]:
        """What a run takes, with the reason."""
        since = None if full else self.compared_until
        live = self.live()
        allowance = most(len(live), FRACTION)
        old = sorted((k for k in live if k.expired(now) and not k.pinned), key=lambda k: k.rank)
        gone = {kept.id: "expired" for kept in old[:allowance]}
        better: list[Kept] = []
        keepers: dict[UUID, UUID] = {}
        complete = True
        best_first = sorted(
            (k for k in live if k.id not in gone),
            key=lambda k: (-k.pinned, -k.value, -k.used_at.timestamp(), k.created, k.id),
        )
        for kept in best_first:
            keeper = next((b for b in better if self.duplicates(b, kept, since, now)), None)
            if keeper is None or kept.pinned:
                better.append(kept)
            elif len(gone) >= allowance:
                complete = False
                break
            else:
                gone[kept.id], keepers[kept.id] = "duplicate", keeper.id
        if complete:
            self.compared_until = now
        left = len(live) - len(gone)
        if left > MAX_SOLUTIONS:
            cheap = sorted(live, key=lambda k: k.rank)
            able = [
                k for k in cheap
                if not k.pinned and k.id not in gone and k.id not in keepers.values()
            ]  # fmt: skip
            wanted = left - int(MAX_SOLUTIONS * KEEP)
            gone |= dict.fromkeys((k.id for k in able[:wanted]), "low_value")
        for own in gone:
            kept = self.all[own]
            kept.run, kept.gone_at, kept.keeper = run, now, keepers.get(own)
            self.recount(kept.keeper)
        return gone

    def duplicates(self, one: Kept, other: Kept, since: datetime | None, now: datetime) -> bool:
        known = since is not None and since <= now
        new = not known or max(one.created, other.created) > since  # type: ignore[operator]
        return one.content == other.content and new

    def undo(self, run: int, now: datetime) -> set[UUID]:
        back = {k.id for k in self.all.values() if k.run == run}
        for own in sorted(back):
            kept = self.all[own]
            above, kept.keeper = kept.keeper, None
            kept.run, kept.gone_at, kept.restored = None, None, now
            self.recount(above)
        return back

    def purge(self, now: datetime) -> None:
        for kept in list(self.all.values()):
            if kept.gone_at is not None and kept.gone_at < now - timedelta(days=7):
                for child in self.all.values():
                    if child.keeper == kept.id:
                        child.keeper = kept.keeper
                if kept.keeper is not None:
                    self.all[kept.keeper].own += kept.own
                del self.all[kept.id]


solutions = st.tuples(
    st.integers(0, CONTENTS - 1),
    st.sampled_from([0.1, 0.3, 0.49, 0.5, 0.8]),
    st.sampled_from([0, 3, 29.5, 31, 99]),
    st.sampled_from([False, False, False, True]),
)
"""Content, value, age in days, and whether it is pinned."""


class Machine(RuleBasedStateMachine):
    """Drives the store and the model alike."""

    stack: Stack
    portal: BlockingPortal
    ids = Bundle("ids")
    runs = Bundle("runs")

    def do(self, function: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        return self.portal.call(lambda: function(*args, **kwargs))

    def sql(self, query: str, **values: Any) -> list[dict[str, Any]]:
        return self.do(rows, self.stack, query, **values)

    @initialize(target=ids, stock=st.lists(solutions, min_size=4, max_size=16))
    def begin(self, stock: list[tuple[Any, ...]]) -> Any:
        self.model = Model()
        for table in ("gc_runs", "solutions", "documents", "outbox"):
            self.sql(f"with gone as (delete from {table}) select 1")  # noqa: S608
        self.wipe_index()
        return multiple(*(self.add(*one) for one in stock))

    def now(self) -> datetime:
        return datetime.now(UTC)

    @rule(target=ids, stock=st.lists(solutions, min_size=1, max_size=4))
    def store(self, stock: list[tuple[Any, ...]]) -> Any:
        return multiple(*(self.add(*one) for one in stock))

    def add(self, content: int, worth: float, old: float, pinned: bool) -> UUID:
        vectors = [[0.0] * 4, [0.0] * 4]
        vectors[0][content % 2], vectors[1][content // 2] = 1.0, 1.0
        own = self.do(put, self.stack, value=worth, pinned=pinned, vectors=(vectors[0], vectors[1]))
        at = self.now() - timedelta(days=old)
        self.sql("update solutions set created_at = %(at)s where id = %(id)s returning 1",
                 at=at, id=own)  # fmt: skip
        self.model.all[own] = Kept(own, content, worth, at, pinned=pinned)
        return own

    def known(self, own: UUID) -> Kept | None:
        kept = self.model.all.get(own)
        return kept if kept is not None and kept.run is None else None

    @rule(own=ids, worth=st.sampled_from([0.0, 0.2, 0.6, 1.0]))
    def score(self, own: UUID, worth: float) -> None:
        if (kept := self.known(own)) is not None:
            self.sql("update solutions set value = %(v)s, updated_at = now() where id = %(id)s"
                     " returning 1", v=worth, id=own)  # fmt: skip
            kept.value = worth

    @rule(own=ids)
    def serve(self, own: UUID) -> None:
        if (kept := self.known(own)) is not None:
            kept.used = self.now()
            self.sql("update solutions set last_used_at = %(at)s where id = %(id)s returning 1",
                     at=kept.used, id=own)  # fmt: skip

    @rule(own=ids, pinned=st.booleans())
    def pin(self, own: UUID, pinned: bool) -> None:
        if (kept := self.known(own)) is not None:
            self.sql("update solutions set pinned = %(p)s where id = %(id)s returning 1",
                     p=pinned, id=own)  # fmt: skip
            kept.pinned = pinned

    @rule(days=st.sampled_from([1, 8, 20, 31, -1, -8, -400]))
    def time_goes_by(self, days: int) -> None:
        """Or the clock is set back: then everything lies in the future."""
        step = timedelta(days=days)
        for column in ("created_at", "last_used_at", "restored_at", "deleted_at"):
            self.sql(f"update solutions set {column} = {column} - %(s)s returning 1", s=step)  # noqa: S608
        self.sql("update gc_runs set compared_until = compared_until - %(s)s,"
                 " started_at = started_at - %(s)s returning 1", s=step)  # fmt: skip
        for kept in self.model.all.values():
            kept.created -= step
            for name in ("used", "restored", "gone_at"):
                if (at := getattr(kept, name)) is not None:
                    setattr(kept, name, at - step)
        if self.model.compared_until is not None:
            self.model.compared_until -= step

    @rule()
    def wipe_index(self) -> None:
        index = self.do(index_name, self.stack)
        self.do(self.stack.vectors.drop, index)
        self.do(self.stack.indexer.drain)

    @rule(target=runs, full=st.booleans())
    def collect(self, full: bool) -> int:
        before, now = len(self.model.live()), self.now()
        report = self.do(self.stack.collector.run, full=full)
        gone = self.model.collect(report.run, now, full=full)
        self.model.purge(now)
        recorded = self.sql("select subject, reason from gc_deletions where run = %(r)s"
                            " and reason <> 'orphan'", r=report.run)  # fmt: skip
        assert {row["subject"]: row["reason"] for row in recorded} == gone
        assert (report.live_before, report.live_after) == (before, before - len(gone))
        assert report.unchanged == 0
        return report.run

    @rule(target=runs)
    def a_plan_is_what_a_run_does(self) -> int:
        with PlanFile() as file:
            self.do(self.stack.collector.plan, file)
            steps = {s.subject: s.reason for s in file.steps() if s.action == "discard"}
        report = self.do(self.stack.collector.run)
        gone = self.model.collect(report.run, self.now())
        self.model.purge(self.now())
        assert steps == gone
        return report.run

    @rule(run=runs)
    def undo(self, run: int) -> None:
        expected = self.model.undo(run, self.now())
        assert self.do(self.stack.collector.undo, run).restored == len(expected)

    @rule(at=st.integers(1, 60))
    def killed(self, at: int) -> None:
        pinned = {kept.id for kept in self.model.live() if kept.pinned}
        known = dict(self.model.all)
        with pytest.MonkeyPatch.context() as patch, crash_at(patch, at):
            self.do(self.interrupted)
        self.do(free, self.stack)
        self.resync(known)
        assert pinned <= {kept.id for kept in self.model.live()}

    async def interrupted(self) -> None:
        with contextlib.suppress(CrashError):
            await self.stack.collector.run()

    def resync(self, known: dict[UUID, Kept]) -> None:
        """Go on from what is there; what is not there must have lain in the trash long enough."""
        now = self.now()
        stored = {row["id"]: row for row in self.sql("select * from solutions")}
        for own in set(known) - set(stored):
            gone_at = known[own].gone_at
            assert gone_at is not None
            assert gone_at < now - timedelta(days=7)
        if set(known) != set(stored):
            self.model.purge(now)  # of these all or none, for there are few
        for own, row in stored.items():
            kept = self.model.all[own]
            kept.value, kept.run, kept.gone_at = row["value"], row["deleted_by"], row["deleted_at"]
            kept.keeper, kept.used = row["merged_into"], row["last_used_at"]
        rows_ = self.sql("select compared_until from gc_runs where compared_until is not null"
                         " order by id desc limit 1")  # fmt: skip
        self.model.compared_until = rows_[0]["compared_until"] if rows_ else None

    @invariant()
    def the_same(self) -> None:
        if not hasattr(self, "model"):
            return
        stored = {row["id"]: row for row in self.sql("select * from solutions")}
        assert set(stored) == set(self.model.all)
        for own, kept in self.model.all.items():
            row = stored[own]
            assert (row["deleted_by"], row["merged_into"]) == (kept.run, kept.keeper)
            assert (row["document_id"] is None) == (kept.run is not None)
            assert row["successes"] == self.model.successes(own)
            assert abs(row["value"] - kept.value) < 1e-12
            assert row["pinned"] == kept.pinned

    def teardown(self) -> None:
        if hasattr(self, "model"):
            live = {f"{kept.id}.md" for kept in self.model.live()}
            assert self.do(findable, self.stack) == live


def test_against_the_model(settings: Settings) -> None:
    rules = msgspec.to_builtins(
        {"max_solutions": MAX_SOLUTIONS, "keep_ratio": KEEP, "max_fraction": FRACTION}
    )
    with start_blocking_portal("asyncio") as portal:
        opened = portal.wrap_async_context_manager(
            open_stack(lenient(settings, **rules), index=False)
        )
        with opened as stack:
            Machine.stack, Machine.portal = stack, portal
            run_state_machine_as_test(
                Machine,
                settings=hypothesis_settings(
                    max_examples=EXAMPLES, stateful_step_count=30, deadline=None
                ),
            )
