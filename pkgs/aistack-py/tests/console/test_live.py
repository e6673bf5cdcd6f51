"""Streams: what they tell, when they end, and that a stop does not wait for them."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from notices import heard
from served import make_key, serving, write_config
from starlette.responses import Response
from starlette.types import Message
from visitor import Browser

from aistack.api.console import live
from aistack.api.console.app import LIVE
from aistack.api.console.live import Streams
from aistack.api.console.session import Session
from aistack.api.console.visit import Visit
from aistack.errors import UnauthenticatedError, UnavailableError
from aistack.issues.model import Event

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PERIOD_S", 0.05)


async def visit_of(browser: Browser) -> Visit:
    made = await browser.stack.keys.create(name="looks", scopes=["admin"])
    assert browser.app.console is not None
    return Visit(
        stack=browser.stack,
        state=browser.app.console.state,
        principal=await browser.stack.keys.verify(made.key),
        session=Session(made.info.id, 2**40, b"n" * 16),
        token="token",
    )


async def admitted() -> None:
    return None


class Watching:
    """A client of a stream: its events, and its leaving."""

    def __init__(self, answer: Response) -> None:
        self._sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._task = asyncio.create_task(self._serve(answer))

    async def _serve(self, answer: Response) -> None:
        async def receive() -> Message:
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if body := message.get("body"):
                self._sent.put_nowait(bytes(body))

        try:
            await answer({"type": "http"}, receive, send)
        finally:
            self._sent.put_nowait(None)

    async def next(self) -> tuple[str, Any]:
        """The next event; a comment has no name, and neither has the end."""
        async with asyncio.timeout(30):
            chunk = await self._sent.get()
        if chunk is None:
            return "", None
        text = chunk.decode()
        assert text.endswith("\n\n")
        found = re.fullmatch(r"event: (\w+)\ndata: (.*)\n\n", text)
        return (found[1], json.loads(found[2])) if found else ("", text)

    async def rest(self) -> list[str]:
        """The names of all events until the end."""
        names = []
        while (event := await self.next())[1] is not None:
            names.append(event[0])
        return names

    async def leave(self) -> None:
        """Go away."""
        self._gone.set()
        await self._task


async def test_parts_are_sent_when_they_change(browser: Browser) -> None:
    visit = await visit_of(browser)
    stream = Watching(Streams().answer(visit, LIVE["issues"], admitted))
    name, parts = await stream.next()
    assert (name, list(parts)) == ("parts", ["issue_list"])
    assert "There are no such issues" in parts["issue_list"]
    assert (await stream.next())[0] == ""
    await browser.stack.tracker.issues.ingest([Event(message="it <b>broke</b>", source="http")])
    told = [await stream.next() for _ in range(2)]
    changed = next(parts for name, parts in told if name == "parts")
    assert "it &lt;b&gt;broke&lt;/b&gt;" in changed["issue_list"]
    await stream.leave()


async def test_every_live_page_has_its_parts(browser: Browser) -> None:
    visit = await visit_of(browser)
    for page in LIVE.values():
        stream = Watching(Streams().answer(visit, page, admitted))
        assert set((await stream.next())[1]) == set(page.parts)
        await stream.leave()


async def test_a_part_is_sent_as_the_page_has_it(browser: Browser) -> None:
    """Whatever differs between them would jump as soon as the stream begins."""
    await browser.sign_in()
    visit = await visit_of(browser)
    for page in LIVE.values():
        path = {"overview": ""}.get(page.name, page.name)
        whole = (await browser.http.get(f"/console/{path}")).text
        stream = Watching(Streams().answer(visit, page, admitted))
        for text in (await stream.next())[1].values():
            for heading in re.findall(r"<h2.*?</h2>", text):
                assert heading in whole, page.name
        await stream.leave()


async def test_a_stream_ends_with_its_session(browser: Browser) -> None:
    await browser.sign_in()
    visit, valid = await visit_of(browser), True

    async def admit() -> None:
        if not valid:
            raise UnauthenticatedError("no session")

    stream = Watching(Streams().answer(visit, LIVE["issues"], admit))
    assert (await stream.next())[0] == "parts"
    valid = False
    rest = await stream.rest()
    assert rest[-1] == "ended"
    assert "parts" not in rest


async def test_nothing_is_told_while_nobody_can_be_let_in(browser: Browser) -> None:
    visit, away = await visit_of(browser), True

    async def admit() -> None:
        if away:
            raise UnavailableError("the database does not answer")

    stream = Watching(Streams().answer(visit, LIVE["overview"], admit))
    assert await stream.next() == ("away", "the database does not answer")
    away = False
    assert (await stream.next())[0] == "parts"
    await stream.leave()


async def test_streams_are_bounded_and_end_together(browser: Browser) -> None:
    visit, streams = await visit_of(browser), Streams(most=2)
    opened = [Watching(streams.answer(visit, LIVE["issues"], admitted)) for _ in range(2)]
    for stream in opened:
        await stream.next()
    with pytest.raises(UnavailableError):
        streams.answer(visit, LIVE["issues"], admitted)
    await opened[0].leave()
    again = Watching(streams.answer(visit, LIVE["issues"], admitted))
    await again.next()
    streams.end()
    for stream in (opened[1], again):
        assert not any(await stream.rest())
    with pytest.raises(UnavailableError):
        streams.answer(visit, LIVE["issues"], admitted)


async def test_a_stream_that_is_for_no_page(browser: Browser) -> None:
    await browser.sign_in()
    assert (await browser.http.get("/console/events?page=keys")).status_code == 404
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    answer = await browser.http.get("/console/events?page=overview", headers=elsewhere)
    assert answer.status_code == 403


@contextmanager
def started(
    dsn: str, folder: Path, workers: int
) -> Iterator[tuple[str, str, subprocess.Popen[bytes]]]:
    """URL, an admin key and the process of a service that has started."""
    config, url = write_config(folder, dsn, workers, "shutdown_s = 25")
    key = make_key(config, "--scope", "admin")
    with serving(config, folder) as (server, systemd):
        assert heard(systemd) == b"READY=1"
        yield url, key, server


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_does_not_wait_for_whoever_looks_on(dsn: str, runtime: Path, workers: int) -> None:
    with started(dsn, runtime, workers) as (url, key, server), httpx.Client(base_url=url) as client:
        signed = client.post("/console/sign-in", data={"key": key}, headers={"Origin": url})
        assert signed.status_code == 303
        with client.stream("GET", "/console/events?page=overview", timeout=30) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert stream.headers["x-accel-buffering"] == "no"
            lines = stream.iter_lines()
            assert next(lines) == "event: parts"
            begun = time.monotonic()
            server.send_signal(signal.SIGTERM)
            assert list(lines), "the stream ends by itself"
            server.wait(20)
        assert time.monotonic() - begun < 15, "not the 25 s that requests are waited for"


@pytest.mark.slow
def test_a_stream_counts_as_the_time_until_it_began(dsn: str, runtime: Path) -> None:
    with started(dsn, runtime, 1) as (url, key, _), httpx.Client(base_url=url) as client:
        client.post("/console/sign-in", data={"key": key}, headers={"Origin": url})
        begun = time.monotonic()
        with client.stream("GET", "/console/events?page=issues", timeout=30) as stream:
            next(stream.iter_lines())
            until_first = time.monotonic() - begun
            time.sleep(2)
        deadline = time.monotonic() + 30
        name = 'duration_seconds_sum{method="GET",route="/console/events"} '
        while time.monotonic() < deadline:
            text = client.get("/metrics", headers={"X-API-Key": key}).text
            if name in text:
                break
            time.sleep(0.1)
        assert float(text.partition(name)[2].split("\n")[0]) < until_first + 1


def test_what_the_stream_sends_is_json() -> None:
    assert live._event("parts", {"a": "x\ny"}) == b'event: parts\ndata: {"a":"x\\ny"}\n\n'
