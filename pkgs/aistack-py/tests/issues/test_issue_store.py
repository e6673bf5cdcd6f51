"""Issues in PostgreSQL: one upsert a batch, states, regressions, the ring, eviction."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import anyio
import pytest
from makings import NOW, event

from aistack.errors import InvalidError, NotFoundError
from aistack.issues import fingerprint as module, intake, store
from aistack.issues.intake import Place
from aistack.issues.model import Event, IssueChange, IssueFilter
from aistack.issues.store import Issues
from aistack.kit.signing import Signer
from aistack.settings import schema
from aistack.stores.postgres import Postgres

pytestmark = pytest.mark.anyio


async def only(issues: Issues, status: str = "any") -> Any:
    (found,) = (await issues.list(IssueFilter(status=status))).issues  # type: ignore[arg-type]
    return found


async def later(issues: Issues, **more: Any) -> None:
    """The same error after whatever was done before."""
    await issues.ingest([event(at=datetime.now(UTC) + timedelta(seconds=1), **more)])


async def test_ten_thousand_of_one_error_are_one_row(issues: Issues, postgres: Postgres) -> None:
    burst = [event(f"no answer from 10.0.0.{n % 250} after {n} ms") for n in range(10_000)]
    done = await issues.ingest(burst)
    assert done is not None
    assert (done.created, done.events) == (1, 10_000)
    found = await only(issues)
    assert (found.count, found.title) == (10_000, "no answer from 10.0.0.249 after 9999 ms")
    detail = await issues.get(found.id)
    assert [o.number for o in detail.occurrences] == [10_000, 9_999, 9_998, 9_997, 9_996]
    rows = await postgres.fetch("select count(*) as rates, sum(count) as n from issue_rates", {})
    assert rows[0]["n"] == 10_000
    assert rows[0]["rates"] <= 2


async def test_the_ring_keeps_the_newest(issues: Issues) -> None:
    for n in range(1, 8):
        await issues.ingest([event(context={"n": n}, request_id=f"r{n}")])
    detail = await issues.get((await only(issues)).id)
    assert [o.context["n"] for o in detail.occurrences] == [7, 6, 5, 4, 3]
    assert detail.occurrences[0].request_id == "r7"


async def test_what_is_resolved_and_comes_back_is_a_regression(issues: Issues) -> None:
    await issues.ingest([event()])
    first = await only(issues)
    await issues.change(first.id, IssueChange(status="resolved", resolution="restarted"), "ann")
    # What happened before, and came late from a spool, is none.
    await issues.ingest([event(at=NOW - timedelta(days=300))])
    assert (await only(issues)).status == "resolved"
    await later(issues)
    back = await only(issues)
    assert (back.status, back.regressions, back.count) == ("open", 1, 3)
    assert back.regressed_at is not None
    assert back.resolved_at is None
    assert back.first_seen == NOW - timedelta(days=300)
    events = [h.event for h in (await issues.get(back.id)).history]
    assert events == ["regressed", "resolved"]


@pytest.mark.parametrize(
    ("generation", "status"), [(41, "resolved"), (42, "open"), (43, "open"), (None, "open")]
)
async def test_an_older_generation_does_not_reopen(
    issues: Issues, generation: int | None, status: str
) -> None:
    await issues.ingest([event(generation=41)])
    change = IssueChange(status="resolved", in_generation=42)
    await issues.change((await only(issues)).id, change, "ann")
    await later(issues, generation=generation)
    assert (await only(issues)).status == status


@pytest.mark.parametrize("status", ["wont_fix", "muted"])
async def test_what_nobody_wants_to_see_stays_hidden(issues: Issues, status: Any) -> None:
    await issues.ingest([event()])
    await issues.change((await only(issues)).id, IssueChange(status=status), "ann")
    await later(issues)
    found = await only(issues)
    assert (found.status, found.count, found.regressions) == (status, 2, 0)
    assert not (await issues.list(IssueFilter())).issues


async def test_a_mute_ends_by_time_and_by_count(issues: Issues) -> None:
    await issues.ingest([event()])
    number = (await only(issues)).id
    await issues.change(number, IssueChange(status="muted", muted_until_count=3), "ann")
    await later(issues)
    assert (await only(issues)).status == "muted"
    await later(issues)
    assert (await only(issues)).status == "open"
    until = datetime.now(UTC) - timedelta(seconds=1)
    await issues.change(number, IssueChange(status="muted", muted_until=until), "ann")
    await later(issues)
    assert (await only(issues)).status == "open"


async def test_a_mute_is_until_a_day_that_all_can_read(issues: Issues) -> None:
    await issues.ingest([event()])
    number = (await only(issues)).id
    for year, zone in ((9999, -23), (1, 23)):
        until = datetime(year, 12, 31, 23, tzinfo=timezone(timedelta(hours=zone)))
        with pytest.raises(InvalidError, match="muted_until"):
            await issues.change(number, IssueChange(status="muted", muted_until=until), "ann")


async def test_parts_of_a_change_must_fit(issues: Issues) -> None:
    await issues.ingest([event()])
    number = (await only(issues)).id
    with pytest.raises(InvalidError, match="in_generation needs the status resolved"):
        await issues.change(number, IssueChange(in_generation=3), "ann")
    with pytest.raises(InvalidError, match="name another issue"):
        await issues.change(number, IssueChange(status="duplicate", duplicate_of=number), "ann")
    with pytest.raises(NotFoundError, match="no issue 77"):
        await issues.change(number, IssueChange(status="duplicate", duplicate_of=77), "ann")
    with pytest.raises(NotFoundError):
        await issues.change(77, IssueChange(assignee="ann"), "ann")


async def test_two_issues_are_never_duplicates_of_each_other(issues: Issues) -> None:
    """Both would be hidden; asked for at once, one of the two is refused, and neither waits."""
    done = await issues.ingest([event("one thing"), event("another matter")])
    assert done is not None
    one, other = done.ids
    changes = [
        issues.change(mine, IssueChange(status="duplicate", duplicate_of=its), "ann")
        for mine, its in ((one, other), (other, one))
    ]
    found = await asyncio.gather(*changes, return_exceptions=True)
    (refused,) = [str(answer) for answer in found if isinstance(answer, Exception)]
    assert "is itself a duplicate" in refused
    assert len((await issues.list(IssueFilter())).issues) == 1


async def test_assignee_links_and_pins(issues: Issues) -> None:
    await issues.ingest([event()])
    number = (await only(issues)).id
    await issues.change(
        number, IssueChange(assignee="ann", link="https://git.test/1", pinned=True), "b"
    )
    await issues.change(number, IssueChange(link="https://git.test/1"), "b")
    detail = await issues.get(number)
    assert (detail.issue.assignee, detail.issue.pinned) == ("ann", True)
    assert detail.links == ["https://git.test/1"]
    assert (await issues.change(number, IssueChange(assignee=""), "b")).assignee is None
    assert {h.actor for h in detail.history} == {"b"}


async def test_filters(issues: Issues) -> None:
    await issues.ingest(
        [
            event("a", severity="critical", category="security", tags=("x",), host="one", at=NOW),
            event("b", component="coordinator", kind="ValueError", generation=7, host="two"),
        ]
    )

    async def titles(**wanted: Any) -> list[str]:
        return [i.title for i in (await issues.list(IssueFilter(**wanted))).issues]

    assert await titles() == ["ValueError: b", "a"]
    assert await titles(severity="critical") == ["a"]
    assert await titles(category="security", tag="x") == ["a"]
    assert await titles(tag="y") == []
    assert await titles(component="coordinator") == ["ValueError: b"]
    assert await titles(kind="ValueError", generation=7) == ["ValueError: b"]
    assert await titles(host="one") == ["a"]
    assert await titles(text="valueerr") == ["ValueError: b"]
    assert await titles(until=NOW + timedelta(seconds=1)) == ["a"]
    assert await titles(since=NOW + timedelta(seconds=1)) == ["ValueError: b"]
    assert await titles(regressed=True) == []
    assert await titles(new_since=NOW + timedelta(seconds=1)) == ["ValueError: b"]
    assert await titles(pinned=True) == []
    (first,) = (await issues.list(IssueFilter(severity="critical"))).issues
    assert await titles(fingerprint=first.fingerprint) == ["a"]
    assert await titles(fingerprint="1:" + "0" * 32) == []
    await issues.change(first.id, IssueChange(pinned=True), "t")
    assert await titles(pinned=True) == ["a"]
    assert await titles(new_until=NOW + timedelta(seconds=1)) == ["a"]
    assert await titles(first_generation=7) == ["ValueError: b"]
    await issues.ingest([event("b", component="coordinator", kind="ValueError", generation=8)])
    assert await titles(first_generation=7, generation=8, min_count=2) == ["ValueError: b"]
    assert await titles(first_generation=8) == []
    assert await titles(min_count=3) == []


async def test_filters_for_what_is_not_active_need_no_status(issues: Issues) -> None:
    await issues.ingest([event(title) for title in ("same", "one", "muted", "resolved")])
    ids = {i.title: i.id for i in (await issues.list(IssueFilter())).issues}
    hour = timedelta(hours=1)
    now = datetime.now(UTC)

    async def titles(**wanted: Any) -> list[str]:
        return [i.title for i in (await issues.list(IssueFilter(**wanted))).issues]

    for title, change in {
        "resolved": IssueChange(status="resolved"),
        "muted": IssueChange(status="muted", muted_until=now + hour),
        "same": IssueChange(status="duplicate", duplicate_of=ids["one"]),
    }.items():
        await issues.change(ids[title], change, "t")
    assert await titles() == ["one"]
    assert await titles(resolved_since=now - hour) == ["resolved"]
    assert await titles(resolved_since=now + hour) == []
    assert await titles(resolved_until=now + hour) == ["resolved"]
    assert await titles(resolved_until=now - hour) == []
    assert await titles(muted_until=now + 2 * hour) == ["muted"]
    assert await titles(muted_until=now + hour) == []
    assert await titles(duplicate_of=ids["one"]) == ["same"]
    assert await titles(duplicate_of=ids["same"]) == []
    assert await titles(duplicate_of=ids["one"], status="open") == []
    # The time of a mute that ended outlives it.
    await issues.ingest([event("muted", at=now + hour + timedelta(minutes=1))])
    assert sorted(await titles()) == ["muted", "one"]
    assert await titles(muted_until=now + 2 * hour) == []


async def test_pages_have_all_once(issues: Issues) -> None:
    await issues.ingest([event(chr(97 + n) * 3, at=NOW + timedelta(seconds=n // 3))
                         for n in range(11)])  # fmt: skip
    seen, cursor = [], None
    while True:
        page = await issues.list(IssueFilter(limit=4, cursor=cursor))
        seen += [i.title for i in page.issues]
        cursor = page.next_cursor
        if not page.has_more:
            break
    assert sorted(seen) == [chr(97 + n) * 3 for n in range(11)]
    with pytest.raises(InvalidError, match="not one of ours"):
        await issues.list(IssueFilter(cursor="Zm9yZ2Vk"))


async def test_many_writers_lose_and_double_nothing(issues: Issues) -> None:
    batches = [[event(f"error {word}") for word in "abcdefgh"[n % 3 :]] for n in range(40)]
    await asyncio.gather(*(issues.ingest(batch) for batch in batches))
    found = (await issues.list(IssueFilter())).issues
    assert sum(i.count for i in found) == sum(map(len, batches))


async def test_a_place_counts_once(issues: Issues) -> None:
    first = Place("spool", None, None, "s1", 10)
    assert await issues.ingest([event()], first) is not None
    assert await issues.ingest([event()], first) is None
    assert await issues.ingest([event()], Place("spool", "s1", 10, "s1", 20)) is not None
    assert await issues.ingest([event()], Place("other", None, None, "s1", 10)) is not None
    assert (await only(issues)).count == 3
    assert await issues.progress("spool") == ("s1", 20)


async def test_eviction_leaves_what_matters(postgres: Postgres) -> None:
    issues = Issues(postgres, Signer(b"s"), schema.Issues(most=100))

    def at(n: int) -> datetime:
        return NOW + timedelta(seconds=n)

    words = [f"{a}{b}" for a in "abcdefghijkl" for b in "abcdefghij"]
    many = [event(word, at=at(n)) for n, word in enumerate(words)]
    many[0] = event("critical", severity="critical", at=at(0))
    await issues.ingest(many)
    by_title = {i.title: i.id for i in (await issues.list(IssueFilter(limit=500))).issues}
    await issues.change(by_title["ab"], IssueChange(pinned=True), "t")
    await issues.change(by_title["lj"], IssueChange(status="resolved"), "t")
    assert await issues.tidy(NOW) == 20
    left = {i.title for i in (await issues.list(IssueFilter(status="any", limit=500))).issues}
    assert len(left) == 100
    assert {"critical", "ab"} <= left
    assert "lj" not in left, "resolved ones go first, however new"
    assert "ac" not in left, "then those seen longest ago"
    assert "lh" in left


async def test_two_that_evict_take_no_more_than_the_excess(postgres: Postgres) -> None:
    both = [Issues(postgres, Signer(b"s"), schema.Issues(most=100)) for _ in range(2)]
    await both[0].ingest([event(f"{a}{b}", at=NOW) for a in "abcdefghijkl" for b in "abcdefghij"])
    assert sum(await asyncio.gather(*(one.tidy(NOW) for one in both))) == 20
    async with postgres.transaction() as conn:
        await intake.rows_of(conn, "try_tidy", {"lock": store._LOCK})
        await both[0].ingest([event("too much", at=NOW)])
        assert await both[0].tidy(NOW) == 0, "another process does it"
    assert await both[0].tidy(NOW) == 1


async def test_eviction_waits_for_no_writer(postgres: Postgres) -> None:
    """Who writes an issue may wait for the next one, and would for ever if that waited for it."""
    issues = Issues(postgres, Signer(b"s"), schema.Issues(most=100))
    await issues.ingest([event(f"{a}{b}", at=NOW) for a in "abcdefghijkl" for b in "abcdefghij"])
    async with postgres.transaction() as conn:
        oldest = "select id from issues order by last_seen, id limit 10 for update"
        written = {row["id"] for row in await (await conn.execute(oldest)).fetchall()}
        with anyio.fail_after(5):
            assert await issues.tidy(NOW) == 20
    left = (await issues.list(IssueFilter(limit=500))).issues
    assert written <= {issue.id for issue in left}


async def test_what_gets_an_event_while_all_are_read_is_not_passed_over(
    issues: Issues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_STEP", 1)
    done = await issues.ingest([event(word) for word in ("one", "two", "three")])
    assert done is not None
    found = []
    async for number in issues.ids():
        found.append(number)
        for word in ("one", "two", "three"):
            await later(issues, message=word)
    assert found == sorted(done.ids)
    assert [n async for n in issues.ids(since=datetime.now(UTC) + timedelta(days=1))] == []


async def test_rings_that_were_larger_are_cut_at_a_start(
    issues: Issues, postgres: Postgres
) -> None:
    await issues.ingest([event(context={"n": n}) for n in range(5)])
    smaller = Issues(postgres, Signer(b"s"), schema.Issues(occurrences=2))
    await smaller.fit()
    number = (await only(issues)).id
    assert len((await issues.get(number)).occurrences) == 2


async def test_tags_are_those_of_the_newest_event(issues: Issues) -> None:
    await issues.ingest([event(tags=("b", "a", "")), event(tags=("old",), at=NOW)])
    assert (await only(issues)).tags == ["a", "b"]
    await later(issues, tags=("c",))
    assert (await only(issues)).tags == ["c"]
    await issues.ingest([event(tags=("late",), at=NOW)])
    assert (await only(issues)).tags == ["c"]


async def test_a_new_version_leaves_old_groups_alone(
    issues: Issues, monkeypatch: pytest.MonkeyPatch
) -> None:
    await issues.ingest([event("old error 1")])
    before = await only(issues)

    def second(one: Event) -> list[str]:
        return ["second", one.message]

    monkeypatch.setattr(module, "VERSIONS", module.VERSIONS | {2: second})
    await issues.ingest([event("old error 2"), event("new error 1"), event("new error 2")])
    found = {
        i.title: (i.count, i.fingerprint[:2]) for i in (await issues.list(IssueFilter())).issues
    }
    assert found == {"old error 2": (2, "1:"), "new error 1": (1, "2:"), "new error 2": (1, "2:")}
    again = await issues.find(event("old error 9"))
    assert again == before.id
