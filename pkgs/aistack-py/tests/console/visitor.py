"""Somebody with a browser, for the tests of the console."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from aistack.api.app import App, create_app
from aistack.wiring import Stack

BASE = "http://kb.test"
ORIGIN = {"Origin": BASE}
TOKEN = re.compile(r'name="token" value="([^"]+)"')


class Browser:
    """A client that signs in, keeps its cookie, and sends forms as a page would."""

    def __init__(self, http: httpx.AsyncClient, app: App, stack: Stack) -> None:
        self.http = http
        self.app = app
        self.stack = stack
        self.key = ""

    async def sign_in(self, key: str | None = None, **headers: str) -> httpx.Response:
        if key is None:
            made = await self.stack.keys.create(name="operator", scopes=["admin"])
            key = self.key = made.key
        return await self.http.post("/console/sign-in", data={"key": key}, headers=ORIGIN | headers)

    async def token(self) -> str:
        """That of a page's forms."""
        page = await self.http.get("/console/keys")
        assert page.status_code == 200, page.text
        found = TOKEN.search(page.text)
        assert found
        return found[1]

    async def send(self, path: str, **form: Any) -> httpx.Response:
        """Send a form as the console's own page would."""
        return await self.http.post(path, data={"token": await self.token()} | form, headers=ORIGIN)


@asynccontextmanager
async def browsing(stack: Stack, peer: str = "127.0.0.1") -> AsyncIterator[Browser]:
    app = create_app(stack)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 4711))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=BASE) as http,
    ):
        yield Browser(http, app, stack)
