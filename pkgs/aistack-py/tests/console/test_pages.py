"""What the pages say and do, over a real PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from visitor import Browser

from aistack.api.console.overview import headline
from aistack.api.console.render import ago, size, span
from aistack.errors import ConfigError, UnavailableError
from aistack.gc.model import Undone
from aistack.health.model import Check
from aistack.host.model import Finding
from aistack.issues.model import Event
from aistack.jobs.ledger import JobRun, Ledger

pytestmark = pytest.mark.anyio
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def report(browser: Browser, message: str = "the disk is full", **more: Any) -> int:
    event = Event(message=message, source="http", **more)
    await browser.stack.tracker.issues.ingest([event])
    found = await browser.stack.tracker.issues.find(event)
    assert found
    return found


async def test_hostile_texts_stay_texts(browser: Browser) -> None:
    number = await report(
        browser, HOSTILE, kind=HOSTILE, component=HOSTILE, stack=HOSTILE, host=HOSTILE,
        tags=(HOSTILE,), context={HOSTILE: HOSTILE}, request_id=HOSTILE,
    )  # fmt: skip
    await browser.sign_in()
    await browser.send(f"/console/issues/{number}/assignee", assignee=HOSTILE)
    change = {"status": "resolved", "resolution": HOSTILE}
    await browser.send(f"/console/issues/{number}/status", **change)
    async with Ledger(browser.stack.postgres).run("gc") as job:
        job.detail["error"], job.failed = HOSTILE, True
    await browser.stack.keys.create(name=HOSTILE, scopes=["read"])
    for path in ("", f"issues/{number}", "issues?status=any", "history", "keys"):
        text = (await browser.http.get(f"/console/{path}")).text
        assert "&lt;script&gt;alert(1)" in text, path
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "{{7*7}}" in text
    query = await browser.http.get("/console/issues", params={"text": HOSTILE, "done": HOSTILE})
    assert "<script>alert" not in query.text


async def test_an_issue_is_worked_on_by_forms(browser: Browser) -> None:
    number = await report(browser)
    await browser.sign_in()
    path = f"/console/issues/{number}"
    assert "the disk is full" in (await browser.http.get("/console/issues")).text

    async def status() -> str:
        return (await browser.stack.tracker.issues.get(number)).issue.status

    for form, expected, done in (
        ({"status": "investigating"}, "investigating", "investigating"),
        ({"status": "resolved", "resolution": "a larger disk"}, "resolved", "resolved"),
        ({"status": "resolved"}, "resolved", "resolved"),  # twice is no more
        ({"status": "open"}, "open", "reopened"),
        ({"status": "muted", "days": "7"}, "muted", "muted"),
        ({"status": "open"}, "open", "reopened"),
        ({"status": "muted", "days": ""}, "muted", "muted"),
    ):
        answer = await browser.send(f"{path}/status", **form)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{path}?done={done}")
        assert await status() == expected
        assert 'role="status"' in (await browser.http.get(answer.headers["location"])).text
    await browser.send(f"{path}/assignee", assignee=" ann ")
    detail = await browser.stack.tracker.issues.get(number)
    assert detail.issue.assignee == "ann"
    assert detail.issue.muted_until is None
    assert {happening.actor for happening in detail.history} == {browser.key.split("_")[1]}
    for form in ({"status": "duplicate"}, {"status": "muted", "days": "9"}, {}):
        assert (await browser.send(f"{path}/status", **form)).status_code == 400
    assert (await browser.send(f"{path}/assignee", assignee="x" * 201)).status_code == 400
    assert (await browser.send("/console/issues/999/status", status="open")).status_code == 404


async def test_a_key_is_made_shown_once_and_revoked(browser: Browser) -> None:
    await browser.sign_in()
    made = await browser.send(
        "/console/keys", name="agents", scope_read="1", scope_issues="1", days="30",
        per_minute="5", per_hour="", collections="nixos_docs, tool_schemas",
    )  # fmt: skip
    assert made.status_code == 200
    key = next(k for k in await browser.stack.keys.list() if k.name == "agents")
    assert (key.scopes, key.per_minute, key.per_hour) == (["read", "issues"], 5, None)
    assert key.collections == ["nixos_docs", "tool_schemas"]
    assert key.expires_at is not None
    secret = made.text.partition(f"aistack_{key.id}_")[2][:43]
    assert (await browser.stack.keys.verify(f"aistack_{key.id}_{secret}")).key_id == key.id
    assert secret not in (await browser.http.get("/console/keys")).text
    for _ in range(2):
        answer = await browser.send(f"/console/keys/{key.id}/revoke")
        assert answer.headers["location"] == "/console/keys?done=revoked"
    events = [e.event for e in await browser.stack.keys.events(key.id)]
    assert events == ["revoked", "created"]
    for form in ({"name": ""}, {"name": "x"}, {"name": "x", "scope_read": "1", "days": "7"},
                 {"name": "x", "scope_read": "1", "per_minute": "-1"}):  # fmt: skip
        assert (await browser.send("/console/keys", **form)).status_code == 400
    assert (await browser.send("/console/keys/000000000000/revoke")).status_code == 404


async def test_revoking_the_own_key_signs_out(browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.send(f"/console/keys/{browser.key.split('_')[1]}/revoke")
    assert answer.status_code == 303
    answer = await browser.http.get(answer.headers["location"])
    assert answer.headers["location"] == "/console/sign-in"


async def test_a_plan_is_made_on_demand_and_changes_nothing(browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.send("/console/garbage/plan")
    assert answer.status_code == 200, answer.text
    assert "Nothing was changed" in answer.text
    assert "duplicates" in answer.text
    assert not await browser.stack.collector.history()


async def test_a_plan_has_a_bound(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def slow(*_: object, **__: object) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    monkeypatch.setattr("aistack.api.console.garbage._PLAN_S", 0.1)
    monkeypatch.setattr(browser.stack.collector, "plan", slow)
    await browser.sign_in()
    token = await browser.token()
    first, second = await asyncio.gather(
        *(
            browser.http.post("/console/garbage/plan", data={"token": token},
                              headers={"Origin": "http://kb.test"})
            for _ in range(2)
        )
    )  # fmt: skip
    assert sorted([first.status_code, second.status_code]) == [409, 503]
    assert ended.is_set()


async def test_a_plan_that_a_run_would_refuse_says_why(browser: Browser) -> None:
    async with browser.stack.postgres.read() as conn:
        await conn.execute(
            "insert into gc_runs (kind, finished_at, result, live_after)"
            " values ('run', now(), 'ok', 9000)"
        )
    await browser.sign_in()
    answer = await browser.send("/console/garbage/plan")
    assert answer.status_code == 409
    assert "a run would refuse: PostgreSQL has 0 solutions" in answer.text


@pytest.mark.parametrize("fault", [RuntimeError("inner words"), ConfigError("inner words")])
async def test_a_fault_of_ours_is_a_page_that_tells_its_id(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise fault

    await browser.sign_in()
    monkeypatch.setattr(browser.stack.keys, "list", broken)
    answer = await browser.http.get("/console/keys", headers={"X-Request-Id": "seen.1"})
    assert answer.status_code == 500
    assert "seen.1" in answer.text
    assert "inner words" not in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]


async def test_an_undo_that_takes_long_goes_on(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = asyncio.Event()

    async def undo(run: int) -> Undone:
        await go.wait()
        return Undone(run=2, undoes=run, restored=3, refused=0)

    monkeypatch.setattr("aistack.api.console.garbage._UNDO_S", 0.1)
    monkeypatch.setattr(browser.stack.collector, "undo", undo)
    await browser.sign_in()
    answer = await browser.send("/console/garbage/runs/1/undo")
    assert answer.headers["location"] == "/console/garbage?done=undoing"
    go.set()
    async with asyncio.timeout(20):
        runs: list[JobRun] = []
        while [run.state for run in runs] != ["ok"]:
            await asyncio.sleep(0.02)
            runs = await Ledger(browser.stack.postgres).runs("gc_undo")
    assert runs[0].detail == {"undoes": 1, "restored": 3}


async def test_an_undo_of_nothing_is_not_found(browser: Browser) -> None:
    await browser.sign_in()
    assert (await browser.send("/console/garbage/runs/7/undo")).status_code == 404


async def test_the_time_line_has_issues_jobs_and_keys(browser: Browser) -> None:
    number = await report(browser)
    await browser.sign_in()
    async with Ledger(browser.stack.postgres).run("backup"):
        pass
    with pytest.raises(UnavailableError):
        async with Ledger(browser.stack.postgres).run("tls_renew"):
            raise UnavailableError("the CA does not answer")
    text = (await browser.http.get("/console/history")).text
    for told in (f"Issue {number} opened", "Backup went well", "Certificate renew failed",
                 "the CA does not answer", "created"):  # fmt: skip
        assert told in text


def check(status: Any, *, critical: bool = False) -> Check:
    return Check(status=status, critical=critical, observed=None, unit=None, output=None,
                 checked_at=NOW, age_s=0.1, since=NOW)  # fmt: skip


@pytest.mark.parametrize(
    ("ready", "checks", "states", "active", "state"),
    [
        ("ok", {"postgres": "pass"}, ["ok"], {}, "pass"),
        ("ok", {"postgres": "pass"}, ["ok"], {"low": 3}, "pass"),
        ("ok", {"postgres": "pass"}, ["ok"], {"critical": 1}, "warn"),
        ("ok", {"postgres": "pass"}, ["warning"], {}, "warn"),
        ("ok", {"postgres": "pass"}, ["critical"], {}, "fail"),
        ("degraded", {"qdrant": "fail"}, ["ok"], {}, "warn"),
        ("unavailable", {"postgres": "fail"}, ["ok"], {}, "fail"),
    ],
)  # fmt: skip
def test_the_headline_tells_the_worst(
    ready: Any, checks: dict[str, Any], states: list[Any], active: Any, state: str
) -> None:
    findings = [Finding("unit", "x.service", found, "") for found in states]
    told = headline(ready, {k: check(v) for k, v in checks.items()}, findings, active)
    assert told.state == state
    assert told.text


def test_words_for_times_and_sizes() -> None:
    assert [ago(NOW - timedelta(seconds=s), NOW) for s in (0, 5, 59, 90, 7200, 200_000)] == [
        "0 s ago", "5 s ago", "59 s ago", "2 min ago", "2 h ago", "2 d ago",
    ]  # fmt: skip
    assert ago(NOW + timedelta(days=3), NOW) == "in 3 d"
    assert [span(0.04), span(9.96), span(61)] == ["0.0 s", "10 s", "1 min"]
    assert [size(None), size(0), size(2048), size(5 * 2**40)] == [
        "not known", "0 B", "2.0 KiB", "5.0 TiB",
    ]  # fmt: skip
