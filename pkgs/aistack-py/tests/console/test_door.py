"""Who gets in, who does not, and what browsers are told."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from visitor import BASE, ORIGIN, Browser, browsing

from aistack.api.app import create_app
from aistack.api.console.app import LIVE, PAGES
from aistack.api.console.assets import assets
from aistack.api.console.session import COOKIE, LIFE_S, Session, Sessions, same_origin
from aistack.errors import UnauthenticatedError
from aistack.kit.logs import JsonFormatter
from aistack.kit.signing import Signer
from aistack.settings.schema import AidbServer
from aistack.wiring import Stack

pytestmark = pytest.mark.anyio
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:", re.IGNORECASE)
FOREIGN = re.compile(r"(?:src|href|action)=\"(?!/console|#)", re.IGNORECASE)


def paths(method: str) -> list[str]:
    found = [page.path for page in PAGES if page.method == method]
    return [re.sub(r"{\w+(:number)?}", "7", path) for path in found]


def cookie_of(answer: httpx.Response) -> str:
    return answer.headers["set-cookie"]


async def test_without_a_session_nothing_is_shown_or_done(browser: Browser) -> None:
    for path in [*paths("GET"), "/console/nowhere", "/console/static/../keys"]:
        answer = await browser.http.get(path)
        assert (answer.status_code, answer.headers.get("location")) == (303, "/console/sign-in")
        assert not answer.content
    for path in [*paths("POST"), "/console/sign-out"]:
        answer = await browser.http.post(path, data={"name": "x"}, headers=ORIGIN)
        assert (answer.status_code, answer.headers.get("location")) == (303, "/console/sign-in")
    assert (await browser.http.get("/console/events?page=overview")).status_code == 401
    # A key of the API is no session.
    made = await browser.stack.keys.create(name="api", scopes=["admin"])
    authorized = {"Authorization": f"Bearer {made.key}"}
    assert (await browser.http.get("/console/keys", headers=authorized)).status_code == 303
    assert len(await browser.stack.keys.list()) == 1


async def test_a_session_is_no_key_of_the_api(browser: Browser) -> None:
    await browser.sign_in()
    assert (await browser.http.get("/v1/keys")).status_code == 401
    assert (await browser.http.get("/consolex")).status_code == 401


async def test_signing_in_and_out(browser: Browser) -> None:
    assert "API key" in (await browser.http.get("/console/sign-in")).text
    assert (await browser.http.get("/console")).headers["location"] == "/console/"
    answer = await browser.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
    cookie = cookie_of(answer)
    assert "; Path=/console/;" in cookie
    assert "; HttpOnly" in cookie
    assert "; SameSite=Strict" in cookie
    assert f"; Max-Age={LIFE_S}" in cookie
    assert browser.key.split("_", 2)[2] not in cookie
    for path in ("/console/", *paths("GET")):
        if "/issues/7" not in path:
            answer = await browser.http.get(path)
            assert answer.status_code == 200, answer.text
            assert answer.headers["cache-control"] == "no-store"
    out = await browser.send("/console/sign-out")
    assert "Max-Age=0" in cookie_of(out)
    assert (await browser.http.get("/console/")).status_code == 303


@pytest.mark.parametrize(
    ("rights", "status"),
    [
        ({"scopes": ["read"]}, 403),
        ({"scopes": ["write", "issues"]}, 403),
        ({"scopes": ["admin"], "collections": ["nixos_docs"]}, 403),
    ],
)
async def test_only_unbound_admin_keys_open(browser: Browser, rights: Any, status: int) -> None:
    made = await browser.stack.keys.create(name="other", **rights)
    answer = await browser.sign_in(made.key)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers


async def test_a_revoked_key_ends_its_session_at_once(browser: Browser) -> None:
    await browser.sign_in()
    assert (await browser.http.get("/console/")).status_code == 200
    async with browser.stack.postgres.read() as conn:  # as another process would
        await conn.execute("update api_keys set revoked_at = now()")
    assert (await browser.http.get("/console/")).status_code == 303


async def test_a_link_from_elsewhere_signs_nobody_out(browser: Browser) -> None:
    """The cookie does not come along then; it must not be taken away for that."""
    await browser.sign_in()
    cookies = dict(browser.http.cookies)
    browser.http.cookies.clear()
    answer = await browser.http.get("/console/issues/1", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 303
    assert "set-cookie" not in answer.headers
    browser.http.cookies.update(cookies)
    assert (await browser.http.get("/console/")).status_code == 200
    browser.http.cookies.clear()
    stale = await browser.http.get("/console/", headers={"Cookie": f"{COOKIE}=stale"})
    assert "Max-Age=0" in cookie_of(stale)


async def test_sessions_end_and_cannot_be_made_up(browser: Browser) -> None:
    await browser.sign_in()
    key_id = browser.key.split("_")[1]
    signer, now = browser.stack.signer, int(datetime.now(UTC).timestamp())
    sessions = Sessions(signer)
    over = Session(key_id, now - 1, b"n" * 16)
    # A cursor of ours, or of another stack, says nothing here.
    raw = msgspec.msgpack.encode(Session(key_id, now + 60, b"n" * 16))
    forged = [
        sessions.written(over),
        signer.sign(raw),
        Sessions(Signer(b"x")).written(over),
        "",
        "é",
    ]
    browser.http.cookies.clear()
    for value in forged:
        headers = {"Cookie": f"{COOKIE}={value}".encode()}
        answer = await browser.http.get("/console/", headers=headers)  # type: ignore[arg-type]
        assert answer.status_code == 303
    unsigned = sessions.written(Session(key_id, now + 60, b"n" * 16))
    assert sessions.read(unsigned).key_id == key_id
    with pytest.raises(UnauthenticatedError):
        sessions.read(unsigned[:-2] + "AA")


async def test_wrong_keys_count_as_they_do_at_the_api(stack: Stack) -> None:
    async with browsing(stack, "192.0.2.7") as browser:
        most = stack.settings.rate_limits.wrong_keys_per_minute
        statuses = [
            (await browser.sign_in(f"aistack_{n:012x}_{'a' * 43}")).status_code
            for n in range(most + 3)
        ]
        assert statuses[: most - 1] == [401] * (most - 1)
        assert statuses[-1] == 429
        wrong = {"Authorization": f"Bearer aistack_{99:012x}_{'a' * 43}"}
        # One wall for both.
        assert (await browser.http.get("/v1/keys", headers=wrong)).status_code == 429


async def test_the_cookie_is_secure_where_a_trusted_proxy_says_https(stack: Stack) -> None:
    for peer, told, secure in (
        ("127.0.0.1", "https", True),
        ("127.0.0.1", "http", False),
        ("192.0.2.7", "https", False),
    ):
        async with browsing(stack, peer) as browser:
            answer = await browser.sign_in(**{"X-Forwarded-Proto": told})
            assert ("; Secure" in cookie_of(answer)) == secure


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({"Origin": BASE}, True),
        ({"Origin": "http://kb.test:8443"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": BASE}, True),
        ({}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "https://evil.test"}, False),
        ({"Origin": "https://kb.test.evil.test"}, False),
        ({"Origin": "http://[::1"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": BASE}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.test"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
    ],
)
async def test_forms_of_other_pages_are_refused(
    browser: Browser, headers: dict[str, str], taken: bool
) -> None:
    scope = {"headers": [(b"host", b"kb.test")]}
    scope["headers"] += [(k.lower().encode(), v.encode()) for k, v in headers.items()]
    assert same_origin(scope) == taken
    await browser.sign_in()
    form = {"token": await browser.token(), "name": "made", "scope_read": "1"}
    answer = await browser.http.post("/console/keys", data=form, headers=headers)
    assert answer.status_code == (200 if taken else 403)
    signed = await browser.http.post("/console/sign-in", data={"key": browser.key}, headers=headers)
    assert signed.status_code == (303 if taken else 403)
    assert len(await browser.stack.keys.list()) == 1 + taken


async def test_forms_need_the_token_of_their_session(browser: Browser) -> None:
    await browser.sign_in()
    first = await browser.token()
    await browser.sign_in()  # another session
    assert await browser.token() != first
    for token in ("", first, "x"):
        form = {"token": token, "name": "made", "scope_read": "1"}
        answer = await browser.http.post("/console/keys", data=form, headers=ORIGIN)
        assert answer.status_code == 403
    assert "made" not in [key.name for key in await browser.stack.keys.list()]


async def test_what_browsers_are_told(browser: Browser) -> None:
    await browser.sign_in()
    assert browser.app.console is not None
    answers = [
        await browser.http.get(path)
        for path in ("/console/", "/console/sign-in", "/console/nowhere", *paths("GET"))
    ]
    for answer in answers:
        assert answer.headers["content-security-policy"] == CSP
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert not INLINE.search(answer.text), answer.url
        assert not FOREIGN.search(answer.text), answer.url
    too_long = await browser.http.post("/console/sign-in", content=b"x" * 3_000_000, headers=ORIGIN)
    assert too_long.status_code == 413
    assert "default-src 'none'" in too_long.headers["content-security-policy"]
    assert (await browser.http.get("/health/live")).headers["content-security-policy"] != CSP


async def test_static_files_are_kept_for_ever_and_change_their_name(browser: Browser) -> None:
    page = (await browser.http.get("/console/sign-in")).text
    for asset in assets().values():
        answer = await browser.http.get(asset.url)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"].startswith(asset.media_type)
    assert assets()["console.css"].url in page
    # While instances are replaced one by one, a page of one asks another for its files.
    other = await browser.http.get("/console/static/console.0000000000000000.css")
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-store")
    for name in ("other.css", "console.0.map", "console", "..%2fapp.py"):
        missing = await browser.http.get(f"/console/static/{name}")
        assert missing.status_code in (303, 404), name


async def test_the_console_takes_from_what_its_key_may_ask(stack: Stack) -> None:
    made = await stack.keys.create(name="few", scopes=["admin"], per_minute=3)
    async with browsing(stack) as browser:
        await browser.sign_in(made.key)
        statuses = [(await browser.http.get("/console/keys")).status_code for _ in range(6)]
        assert statuses[:3] == [200] * 3
        last = await browser.http.get("/console/keys")
        assert last.status_code == 429
        assert int(last.headers["retry-after"]) >= 1
        assert "text/html" in last.headers["content-type"]


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b'{"key": "x"}', "application/json", 415),
        (b"key=%ff", "application/x-www-form-urlencoded", 400),
        (b"key=\xff", "application/x-www-form-urlencoded", 400),
        (b"key=%00", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=1" % n for n in range(40)), "application/x-www-form-urlencoded", 400),
    ],
)
async def test_forms_that_are_none(
    browser: Browser, content: bytes, media_type: str, status: int
) -> None:
    headers = ORIGIN | {"Content-Type": media_type}
    answer = await browser.http.post("/console/sign-in", content=content, headers=headers)
    assert answer.status_code == status
    assert "text/html" in answer.headers["content-type"]


async def test_odd_paths_are_not_found(browser: Browser) -> None:
    await browser.sign_in()
    for path in (
        "issues/0",
        "issues/99999999999999999999",
        "issues/7",
        "keys/a%20b",
        "%00",
        "x%0a",
    ):
        assert (await browser.http.get(f"/console/{path}")).status_code == 404
    assert (await browser.http.put("/console/keys")).status_code == 405
    assert (await browser.http.get("/console/issues?severity=odd")).status_code == 400
    assert (await browser.http.get("/console/issues?text=%00")).status_code == 400


async def test_without_the_setting_there_is_none(stack: Stack) -> None:
    closed = msgspec.structs.replace(stack.settings, aidb=AidbServer(console=False))
    object.__setattr__(stack, "settings", closed)
    assert create_app(stack).console is None
    assert create_app(stack, "coordinator").console is None
    async with browsing(stack) as browser:
        assert (await browser.http.get("/console/")).status_code == 401


async def test_without_the_database_nobody_is_let_in(browser: Browser) -> None:
    await browser.sign_in()
    await browser.stack.postgres.close()
    answer = await browser.http.get("/console/")
    assert answer.status_code in (500, 503)
    assert "Dependencies" not in answer.text
    assert browser.key not in answer.text


async def test_the_log_names_the_route_and_the_key(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await browser.sign_in()
        await browser.http.get("/console/issues?text=private")
        await browser.send("/console/keys", name="new", scope_read="1")
    ours = [r for r in caplog.records if r.name.startswith("aistack")]
    told = [record.fields for record in ours if hasattr(record, "fields")]
    assert {"/console/sign-in", "/console/issues", "/console/keys"} <= {
        f.get("route") for f in told
    }
    assert any(f.get("created") and f["key"] == browser.key.split("_")[1] for f in told)
    text = "".join(map(JsonFormatter().format, ours))
    assert "private" not in text
    assert browser.key not in text


def test_every_live_page_is_a_page() -> None:
    assert len(LIVE) == 6
