"""Reports over HTTP: our own form, Alertmanager's, Sentry's by its official client."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import sentry_sdk
from hypothesis import given, settings as bounds, strategies as st
from served import write_config

from aistack.access.model import Scope
from aistack.api.app import create_app
from aistack.errors import InvalidError, TooLargeError
from aistack.issues import sentry
from aistack.issues.alertmanager import Alert, Alerts, events_of
from aistack.issues.model import IssueDetail, IssueFilter, shaped
from aistack.settings.schema import Issues, Limits, RateLimits, Settings
from aistack.wiring import Stack, open_stack

BASE = "http://localhost:8091"


@pytest.fixture
async def stack(settings: Settings, tmp_path: Path) -> AsyncIterator[Stack]:
    own = msgspec.structs.replace(
        settings,
        issues=Issues(spool=str(tmp_path / "spool")),
        limits=Limits(body_bytes=65536),
        rate_limits=RateLimits(enabled=False),
    )
    async with open_stack(own, index=False) as opened:
        yield opened


@asynccontextmanager
async def http(stack: Stack, scope: Scope) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    key = (await stack.keys.create(name="test", scopes=[scope])).key
    app = create_app(stack)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=BASE) as client,
    ):
        yield client, key


async def only(stack: Stack) -> IssueDetail:
    await stack.tracker.drain()
    (issue,) = (await stack.tracker.issues.list(IssueFilter(status="any"))).issues
    return await stack.tracker.issues.get(issue.id)


@pytest.mark.anyio
async def test_a_report_becomes_an_issue(stack: Stack) -> None:
    report = {
        "message": "lost 3 of 10, password=abcdef12", "kind": "NetworkError", "component": "sync",
        "severity": "critical", "context": {"n": 1}, "tags": ["x"], "host": "kb", "generation": 7,
        "frames": [{"module": "app", "function": "run"}], "stack": "line\nline",
    }  # fmt: skip
    async with http(stack, "issues") as (client, key):
        answer = await client.post("/v1/issues", json=report, headers={"X-API-Key": key})
        assert answer.status_code == 202
        assert len(answer.json()["event"]) == 32
        nothing = await client.post("/v1/issues", json={}, headers={"X-API-Key": key})
        assert nothing.status_code == 400
    found = await only(stack)
    assert (found.issue.severity, found.issue.component) == ("critical", "sync")
    assert (found.issue.last_host, found.issue.last_generation) == ("kb", 7)
    assert found.occurrences[0].message == "lost 3 of 10, password=[redacted]"


@pytest.mark.anyio
@pytest.mark.parametrize("scope", ["read", "write", "issues", "admin"])
async def test_who_reports_does_not_read_and_who_reads_does_not_report(
    stack: Stack, scope: Scope
) -> None:
    async with http(stack, scope) as (client, key):
        client.headers["X-API-Key"] = key
        report = await client.post("/v1/issues", json={"message": "x"})
        assert report.status_code == (202 if scope in ("issues", "admin") else 403)
        await stack.tracker.drain()
        for path in ("/v1/issues", "/v1/issues/1", "/v1/issues/analysis"):
            assert (await client.get(path)).status_code == (200 if scope == "admin" else 403), path
        change = await client.patch("/v1/issues/1", json={"status": "resolved"})
        assert change.status_code == (200 if scope == "admin" else 403)
        if scope == "issues":
            assert (await client.get("/v1/collections")).status_code == 403
            assert (await client.get("/metrics")).status_code == 403


@pytest.mark.anyio
async def test_a_change_says_who(stack: Stack) -> None:
    async with http(stack, "admin") as (client, key):
        client.headers["X-API-Key"] = key
        await client.post("/v1/issues", json={"message": "x"})
        number = (await only(stack)).issue.id
        done = await client.patch(f"/v1/issues/{number}", json={"assignee": "ann"})
        assert done.json()["assignee"] == "ann"
        wrong = await client.patch(f"/v1/issues/{number}", json={"in_generation": 3})
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (400, "/in_generation")
        assert (await client.get("/v1/issues/9007199254740993")).status_code == 404
        found = (await client.get(f"/v1/issues/{number}")).json()
    assert found["history"][0]["actor"] == key.split("_")[1]


ALERTS = {
    "version": "4", "groupKey": "{}:{}", "status": "firing", "receiver": "aistack",
    "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am",
    "truncatedAlerts": 0,
    "alerts": [
        {"status": "firing", "fingerprint": "aa", "startsAt": "2026-01-08T10:00:00.123456789Z",
         "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prom/graph?x",
         "labels": {"alertname": "HighErrorRate", "job": "aidb", "severity": "critical",
                    "instance": "kb:8091"},
         "annotations": {"summary": "12 % of requests fail"}},
        {"status": "resolved", "labels": {"alertname": "Other"}, "annotations": {}},
    ],
}  # fmt: skip


@pytest.mark.anyio
async def test_alertmanager_posts_alerts(stack: Stack) -> None:
    async with http(stack, "issues") as (client, key):
        headers = {"Authorization": f"Bearer {key}"}
        for _ in range(2):
            answer = await client.post("/v1/issues/alertmanager", json=ALERTS, headers=headers)
            assert (answer.status_code, answer.json()) == (202, {"events": 1})
    detail = await only(stack)
    found = detail.issue
    assert datetime.now(UTC) - found.last_seen < timedelta(minutes=1), "it fires still"
    assert detail.occurrences[0].context["starts_at"].startswith("2026-01-08T10:00:00")
    assert (found.title, found.count) == ("HighErrorRate: 12 % of requests fail", 2)
    assert (found.component, found.severity, found.last_host) == ("aidb", "critical", "kb")


@pytest.mark.parametrize(
    ("labels", "component", "host"),
    [
        ({}, "unknown", "unknown"),
        ({"job": "aistack-node", "instance": "kb:9100"}, "aistack-node", "kb"),
        ({"job": "aistack-node", "instance": "[::1]:9100"}, "aistack-node", "::1"),
        ({"job": "aistack-node", "part": "host", "host": "kb", "instance": "127.0.0.1:9100"},
         "host", "kb"),
        ({"component": "shop", "part": "host"}, "shop", "unknown"),
    ],
)  # fmt: skip
def test_what_an_alert_is_of(labels: dict[str, str], component: str, host: str) -> None:
    (event,) = events_of(Alerts(alerts=[Alert(labels=labels)]))
    assert (event.component, event.host) == (component, host)


def item(kind: str, payload: bytes, *, length: bool = True) -> bytes:
    header: dict[str, Any] = {"type": kind} | ({"length": len(payload)} if length else {})
    return json.dumps(header).encode() + b"\n" + payload + b"\n"


ERROR = json.dumps(
    {
        "event_id": "ab" * 16, "timestamp": 1767866400.5, "level": "fatal", "server_name": "web-1",
        "release": "app@1.2", "tags": [["component", "shop"]], "logger": "app",
        "user": {"email": "ann@example.org"}, "request": {"url": "http://x/y", "cookies": "a=b"},
        "exception": {"values": [
            {"type": "KeyError", "value": "'a'"},
            {"type": "OrderError", "value": "no order 17", "stacktrace": {"frames": [
                {"module": "django.core", "function": "call", "in_app": False},
                {"module": "shop.views", "function": "buy", "lineno": 7, "filename": "views.py",
                 "context_line": "  raise OrderError"}]}}]},
    }
).encode()  # fmt: skip


def test_an_envelope_has_events_among_other_items() -> None:
    body = b"{}\n" + item("session", b"{}") + item("event", ERROR) + item("attachment", b"\n\n\0")
    body += item("event", ERROR, length=False)
    first, second = sentry.envelope(body, "1")
    assert first == second
    assert (first.kind, first.message, first.component) == ("OrderError", "no order 17", "shop")
    assert (first.severity, first.host, first.release) == ("critical", "web-1", "app@1.2")
    assert [(f.module, f.in_app) for f in first.frames] == [
        ("django.core", False), ("shop.views", True),
    ]  # fmt: skip
    assert "raise OrderError" in first.stack
    assert "KeyError: 'a'" in first.stack
    assert "ann@example.org" not in str(first)
    assert "cookies" not in str(first)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "exception",
                        "values",
                        "stacktrace",
                        "frames",
                        "type",
                        "value",
                        "tags",
                        "message",
                        "logentry",
                        "fingerprint",
                        "timestamp",
                        "level",
                        "extra",
                        "contexts",
                        "trace",
                        "request",
                        "module",
                        "in_app",
                        "event_id",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=30,
    )
)
@bounds(max_examples=100, deadline=None, derandomize=True, database=None)  # fmt: skip
def test_any_shape_is_survived(told: Any) -> None:
    body = json.dumps(told if isinstance(told, dict) else {"exception": told}).encode()
    try:
        event = shaped(sentry.stored(body, "1"))
    except InvalidError:
        return  # Infinity is no JSON
    assert event.message
    msgspec.json.encode(event)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}\n{}\nnot JSON", b'{}\n{"type":"event"}\n[1]\n', b"\xff"]
)  # fmt: skip
def test_what_is_no_envelope(body: bytes) -> None:
    if body.startswith(b"{}\n{}\n"):
        assert sentry.envelope(body, "1") == []
        return
    with pytest.raises(InvalidError):
        sentry.envelope(body, "1")


def test_an_envelope_of_newlines_takes_no_time_to_speak_of() -> None:
    begun = time.process_time()
    assert sentry.envelope(b"{}" + b"\n" * 2**24, "1") == []
    assert time.process_time() - begun < 1, "one copy of 16 MiB, not 16 million"


def test_compression_is_bounded() -> None:
    text = b"x" * 1000
    raw = zlib.compressobj(wbits=-15)
    for packed, coding in (
        (gzip.compress(text), "gzip"), (zlib.compress(text), "deflate"),
        (raw.compress(text) + raw.flush(), "deflate"), (text, ""), (text, "identity"),
    ):  # fmt: skip
        assert sentry.unpacked(packed, coding, 1000) == text
    with pytest.raises(TooLargeError):
        sentry.unpacked(gzip.compress(b"\0" * 10**8), "gzip", 10**6)
    for broken in (b"not gzip", gzip.compress(text)[:20]):
        with pytest.raises(InvalidError):
            sentry.unpacked(broken, "gzip", 1000)
    with pytest.raises(NotImplementedError):
        sentry.unpacked(text, "br", 1000)


@pytest.mark.anyio
async def test_ways_in_of_sentrys_clients(stack: Stack) -> None:
    body = b"{}\n" + item("event", ERROR)
    async with http(stack, "issues") as (client, key):
        auth = {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={key}, sentry_client=t/1"}
        done = await client.post("/api/1/envelope/", content=body, headers=auth)
        assert (done.status_code, done.json()) == (200, {"id": "ab" * 16})
        packed = {"Content-Encoding": "gzip"}
        path = f"/api/1/envelope/?sentry_version=7&sentry_key={key}"
        done = await client.post(path, content=gzip.compress(body), headers=packed)
        assert done.status_code == 200
        done = await client.post("/api/1/store/", content=ERROR, headers=auth)
        assert done.status_code == 200
        refused = await client.post("/api/1/envelope/", content=body)
        assert refused.status_code == 401
        # Elsewhere a key in the URL, which logs keep, is none.
        assert (await client.get(f"/v1/collections?sentry_key={key}")).status_code == 401
        brotli = auth | {"Content-Encoding": "br"}
        done = await client.post("/api/1/store/", content=ERROR, headers=brotli)
        assert done.status_code == 415
        bomb = gzip.compress(b"\0" * 10**7)
        done = await client.post("/api/1/store/", content=bomb, headers=auth | packed)
        assert done.status_code == 413
    assert (await only(stack)).issue.count == 3


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> tuple[Path, str]:
    spool = f"[issues]\nspool = {json.dumps(str(tmp_path / 'spool'))}"
    return write_config(tmp_path, settings.postgres.dsn, 1, spool)


def aistack(config: Path, *args: str) -> str:
    command = [sys.executable, "-m", "aistack", "--config", str(config), *args]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_official_sentry_sdk_reports_here(server: tuple[Path, str]) -> None:
    config, url = server
    key = aistack(config, "keys", "create", "app", "--scope", "issues").strip()
    admin = aistack(config, "keys", "create", "admin", "--scope", "admin").strip()
    command = [sys.executable, "-m", "aistack", "--config", str(config), "serve"]
    running = subprocess.Popen(command, env=os.environ, stderr=subprocess.DEVNULL)
    try:
        await_live(url)
        sentry_sdk.init(url.replace("//", f"//{key}@") + "/1", release="app@1.2",
                        server_name="web-1", default_integrations=False,
                        send_client_reports=False)  # fmt: skip
        for number in (17, 18):
            try:
                buy(number)
            except LookupError as exc:
                sentry_sdk.capture_exception(exc)
        sentry_sdk.capture_message("the shop closes", level="warning")
        sentry_sdk.flush(10)
        found = await_issues(url, admin, 3)
    finally:
        sentry_sdk.init()
        running.terminate()
        running.wait(30)
    by_title = {one["title"]: one for one in found}
    assert set(by_title) == {"LookupError: no order 18", "the shop closes"}
    order = by_title["LookupError: no order 18"]
    assert (order["count"], order["last_host"], order["severity"]) == (2, "web-1", "high")
    assert by_title["the shop closes"]["severity"] == "medium"


def buy(number: int) -> None:
    raise LookupError(f"no order {number}")


def await_live(url: str) -> None:
    for _ in range(300):
        try:
            if httpx.get(url + "/health/live").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail("the server does not come up")


def await_issues(url: str, key: str, events: int) -> list[dict[str, Any]]:
    for _ in range(100):
        answer = httpx.get(url + "/v1/issues", headers={"X-API-Key": key})
        found: list[dict[str, Any]] = answer.json()["issues"]
        if sum(one["count"] for one in found) >= events:
            return found
        time.sleep(0.1)
    pytest.fail(f"only {found}")
