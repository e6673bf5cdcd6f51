"""The console as an ASGI app of its own: pages behind a door, and the headers of all it sends."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from aistack.access.model import Principal
from aistack.api import problems
from aistack.api.console import backups, garbage, host, issues, keys, overview
from aistack.api.console.assets import ROUTE_OF_ASSETS
from aistack.api.console.door import SIGN_IN, SIGN_OUT, Door
from aistack.api.console.live import Streams
from aistack.api.console.render import outside
from aistack.api.console.session import PATH, Session
from aistack.api.console.state import State
from aistack.api.console.visit import Live, Page, Visit
from aistack.api.endpoint import ROUTE, check_text
from aistack.api.guards import STREAM
from aistack.api.headers import set_headers
from aistack.api.limits import VerifyFrom
from aistack.errors import (
    AistackError,
    ForbiddenError,
    NotFoundError,
    RateLimitedError,
    UnauthenticatedError,
    UnavailableError,
)
from aistack.kit.logs import request_id
from aistack.limits.identity import of_key
from aistack.limits.limiter import refusal

if TYPE_CHECKING:
    from aistack.wiring import Stack

_log = logging.getLogger(__name__)
Serve = Callable[[Request], Awaitable[Response]]
PAGES: tuple[Page, ...] = (
    *overview.PAGES, *issues.PAGES, *garbage.PAGES, *backups.PAGES, *host.PAGES, *keys.PAGES,
)  # fmt: skip
LIVE: dict[str, Live] = {
    live.name: live
    for live in (
        overview.LIVE, issues.LIVE, garbage.LIVE, backups.LIVE, host.LIVE, host.HISTORY,
    )
}  # fmt: skip
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    # Not no-referrer: a browser would then send the forms with "Origin: null".
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NO_STORE = (b"cache-control", b"no-store")


class Console:
    """Everything below /console/. Nothing of it is shown without a session of an admin key.

    Args:
        stack: what is shown and changed.
        verify: tells whose key it is that signs in, behind the wall for wrong keys.
    """

    def __init__(self, stack: Stack, verify: VerifyFrom) -> None:
        self._stack = stack
        self._door = Door(stack, verify)
        self.state = State(stack)
        self.streams = Streams()
        self._router = Router(list(self._routes()), redirect_slashes=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sample and work in the background within the block."""
        async with self.state.running():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started = False

        async def dressed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                cached = any(name == b"cache-control" for name, _ in message["headers"])
                set_headers(message, *_HEADERS, *(() if cached else (_NO_STORE,)))
            await send(message)

        try:
            await self._router(scope, receive, dressed)
        except UnauthenticatedError:
            await self._turned_away(scope)(scope, receive, dressed)
        except ClientDisconnect:
            raise  # nobody is there to be answered
        except Exception as exc:
            if started:
                raise
            await _refused(exc)(scope, receive, dressed)

    def _routes(self) -> Iterable[Route]:
        door = self._door
        yield ROUTE_OF_ASSETS
        yield Route(SIGN_IN, _named(SIGN_IN, door.show_sign_in), methods=["GET"])
        yield Route(SIGN_IN, _named(SIGN_IN, door.sign_in), methods=["POST"])
        yield Route(SIGN_OUT, _named(SIGN_OUT, door.sign_out), methods=["POST"])
        yield Route(STREAM, _named(STREAM, self._events), methods=["GET"])
        for page in PAGES:
            yield Route(page.path, self._server_of(page), methods=[page.method])
        yield Route(PATH.rstrip("/"), _to_the_front, methods=["GET"])
        yield Route("/console/{rest:path}", self._missing, methods=["GET", "POST"])

    def _server_of(self, page: Page) -> Serve:
        name = page.path.replace(":number}", "}")

        async def serve(request: Request) -> Response:
            session, principal = await self._door.admit(request)
            form = await self._door.form(request, session) if page.method == "POST" else {}
            await self._count(principal, f"{page.method} {name}")
            return await page.handler(self._visit(request, session, principal, form))

        return _named(name, serve)

    async def _events(self, request: Request) -> Response:
        session, principal = await self._door.admit(request)
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise ForbiddenError("this stream is for pages of the console")
        live = LIVE.get(request.query_params.get("page", ""))
        if live is None:
            raise NotFoundError("there is no such page")
        await self._count(principal, f"GET {STREAM}")
        visit = self._visit(request, session, principal, {})
        return self.streams.answer(visit, live, lambda: self._door.admit(request))

    async def _missing(self, request: Request) -> Response:
        # Whoever is not signed in learns nothing of what there is.
        await self._door.admit(request)
        raise NotFoundError("there is no such page")

    def _visit(
        self, request: Request, session: Session, principal: Principal, form: dict[str, str]
    ) -> Visit:
        query = dict(request.query_params)
        check_text(query)
        return Visit(
            stack=self._stack,
            state=self.state,
            principal=principal,
            session=session,
            token=self._door.token(session),
            path=_path(request),
            query=query,
            form=form,
        )

    async def _count(self, principal: Principal, route: str) -> None:
        """The console takes from what its key may ask, as any other client."""
        limiter = self._stack.limiter
        if not limiter.settings.enabled:
            return
        rates = limiter.rates_of(principal.per_minute, principal.per_hour)
        identity = of_key(principal.key_id)
        decision = await limiter.take(identity, route=route, override=rates)
        if not decision.allowed:
            raise refusal(decision)

    def _turned_away(self, scope: Scope) -> Response:
        if scope["path"] == STREAM:
            return Response(status_code=401)
        return self._door.turn_away(Request(scope))


def _named(name: str, serve: Serve) -> Serve:
    """Leaves the route's path for the access log."""

    async def named(request: Request) -> Response:
        request.scope[ROUTE] = name
        return await serve(request)

    return named


async def _to_the_front(_request: Request) -> Response:
    return RedirectResponse(PATH, 308)


def _refused(exc: Exception) -> Response:
    """An error as a page; of a fault of ours it tells the id alone, as the API does."""
    headers: dict[str, str] = {}
    if isinstance(exc, HTTPException):
        status, detail = exc.status_code, exc.detail
        headers.update(exc.headers or {})
    elif isinstance(exc, AistackError) and exc.code in problems.KINDS:
        status, detail = problems.KINDS[exc.code].status, exc.detail
    else:
        _log.error("unexpected error", exc_info=exc)
        status, detail = 500, f"This is a fault of ours; the log has it as {request_id.get()}."
    if isinstance(exc, UnavailableError | RateLimitedError):
        headers["Retry-After"] = str(exc.retry_after_s)
    answer = outside("error.html", {"status": status, "detail": detail}, status=status)
    answer.headers.update(headers)
    return answer


def _path(request: Request) -> dict[str, object]:
    """Raises `NotFoundError` for what no row can have as its id."""
    for value in request.path_params.values():
        if isinstance(value, int) and not 1 <= value <= 2**53:
            raise NotFoundError("not found")
        if isinstance(value, str) and not value.isalnum():
            raise NotFoundError("not found")
    return dict(request.path_params)
