"""The console as an ASGI app of its own: its door, its pages, and the headers of all it sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from aistack.access.model import Principal
from aistack.api import problems
from aistack.api.console import backups, garbage, host, issues, keys, overview
from aistack.api.console.assets import ROUTE_OF_ASSETS
from aistack.api.console.live import Streams
from aistack.api.console.messages import MESSAGES
from aistack.api.console.render import outside
from aistack.api.console.session import (
    COOKIE,
    Session,
    Sessions,
    by_https,
    same_origin,
    set_cookie,
)
from aistack.api.console.state import State
from aistack.api.console.visit import Live, Page, Visit
from aistack.api.endpoint import PRINCIPAL, ROUTE, check_text
from aistack.api.headers import set_headers
from aistack.api.limits import VerifyFrom
from aistack.errors import (
    AistackError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    RateLimitedError,
    UnauthenticatedError,
    UnavailableError,
)
from aistack.limits.identity import Proxies, of_key
from aistack.limits.limiter import refusal

if TYPE_CHECKING:
    from aistack.wiring import Stack

PREFIX = "/console/"
PAGES: tuple[Page, ...] = (
    *overview.PAGES, *issues.PAGES, *garbage.PAGES, *backups.PAGES, *host.PAGES, *keys.PAGES,
)  # fmt: skip
LIVE: dict[str, Live] = {
    live.name: live
    for live in (
        overview.LIVE, issues.LIVE, garbage.LIVE, backups.LIVE, host.LIVE, host.HISTORY,
    )
}  # fmt: skip
_SIGN_IN = "/console/sign-in"
_FORM = "application/x-www-form-urlencoded"
_FIELDS = 30
"""Most fields of a form."""
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
        self._verify = verify
        self._sessions = Sessions(stack.signer)
        self._proxies = Proxies(stack.settings.rate_limits.trusted_proxies)
        self.state = State(stack)
        self.streams = Streams()
        self._router = Router(list(self._routes()), redirect_slashes=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[State]:
        """Sample and work in the background within the block."""
        async with self.state.running():
            yield self.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                cached = any(name == b"cache-control" for name, _ in message["headers"])
                set_headers(message, *_HEADERS, *(() if cached else (_NO_STORE,)))
            await send(message)

        try:
            await self._router(scope, receive, dressed)
        except (AistackError, HTTPException) as exc:
            await self._refused(scope, exc)(scope, receive, dressed)

    def _routes(self) -> Iterable[Route]:
        yield ROUTE_OF_ASSETS
        yield Route(_SIGN_IN, self._show_sign_in, methods=["GET"])
        yield Route(_SIGN_IN, self._sign_in, methods=["POST"])
        yield Route("/console/sign-out", self._sign_out, methods=["POST"])
        yield Route("/console", _to_the_front, methods=["GET"])
        yield Route("/console/events", self._events, methods=["GET"])
        for page in PAGES:
            yield Route(page.path, self._server_of(page), methods=[page.method])
        yield Route("/console/{rest:path}", self._missing, methods=["GET", "POST"])

    def _server_of(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        template = page.path.replace(":int}", "}")

        async def serve(request: Request) -> Response:
            request.scope[ROUTE] = template
            session, principal = await self._admit(request)
            form = await _form(request) if page.method == "POST" else {}
            if page.method == "POST":
                self._check_form(request, session, form)
            await self._count(principal, f"{page.method} {template}")
            return await page.handler(self._visit(request, session, principal, form))

        return serve

    async def _missing(self, request: Request) -> Response:
        # Whoever is not signed in learns nothing of what there is.
        await self._admit(request)
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
            token=self._sessions.token(session),
            path=_path(request),
            query=query,
            form=form,
        )

    async def _admit(self, request: Request) -> tuple[Session, Principal]:
        """Raises `UnauthenticatedError` where nobody is signed in, or the key has ended."""
        session = self._sessions.read(request.cookies.get(COOKIE, ""))
        principal = await self._stack.keys.holder(session.key_id)
        _require(principal)
        request.scope[PRINCIPAL] = principal
        return session, principal

    def _check_form(self, request: Request, session: Session, form: dict[str, str]) -> None:
        if not same_origin(request.scope):
            raise ForbiddenError("this form was not sent by a page of the console")
        if not self._sessions.is_token(session, form.get("token", "")):
            raise ForbiddenError("this form is of another session; load the page again")

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

    async def _show_sign_in(self, request: Request) -> Response:
        request.scope[ROUTE] = _SIGN_IN
        told = MESSAGES.get(request.query_params.get("done", ""))
        return outside("sign_in.html", {"told": told, "error": None})

    async def _sign_in(self, request: Request) -> Response:
        request.scope[ROUTE] = _SIGN_IN
        if not same_origin(request.scope):
            raise ForbiddenError("this form was not sent by a page of the console")
        key = (await _form(request)).get("key", "").strip()
        try:
            principal = await self._verify(key, request.scope)
            _require(principal)
        except (UnauthenticatedError, ForbiddenError, RateLimitedError) as exc:
            told = "This is no key, or none that is valid now."
            error = told if isinstance(exc, UnauthenticatedError) else exc.detail
            status = problems.KINDS[exc.code].status
            answer = outside("sign_in.html", {"told": None, "error": error}, status=status)
            if isinstance(exc, RateLimitedError):
                answer.headers["Retry-After"] = str(exc.retry_after_s)
            return answer
        request.scope[PRINCIPAL] = principal
        session = self._sessions.begin(principal.key_id)
        return self._with_cookie(request, PREFIX, self._sessions.written(session))

    async def _sign_out(self, request: Request) -> Response:
        request.scope[ROUTE] = "/console/sign-out"
        session, _ = await self._admit(request)
        self._check_form(request, session, await _form(request))
        return self._with_cookie(request, f"{_SIGN_IN}?done=signed-out", "")

    def _with_cookie(self, request: Request, to: str, value: str) -> Response:
        answer = RedirectResponse(to, 303)
        secure = by_https(request.scope, self._proxies)
        answer.headers["Set-Cookie"] = set_cookie(value, secure=secure)
        return answer

    async def _events(self, request: Request) -> Response:
        request.scope[ROUTE] = "/console/events"
        session, principal = await self._admit(request)
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise ForbiddenError("this stream is for pages of the console")
        live = LIVE.get(request.query_params.get("page", ""))
        if live is None:
            raise NotFoundError("there is no such page")
        await self._count(principal, "GET /console/events")
        visit = self._visit(request, session, principal, {})
        return self.streams.answer(visit, live, lambda: self._admit(request))

    def _refused(self, scope: Scope, exc: AistackError | HTTPException) -> Response:
        """An error as a page; whoever is not signed in is led to where they can."""
        if isinstance(exc, UnauthenticatedError):
            if scope["path"] == "/console/events":
                return Response(status_code=401)
            answer: Response = RedirectResponse(_SIGN_IN, 303)
            answer.headers["Set-Cookie"] = set_cookie(
                "", secure=by_https(scope, self._proxies)
            )  # one that is not valid is of no use
            return answer
        if isinstance(exc, HTTPException):
            status, detail, headers = exc.status_code, exc.detail, dict(exc.headers or {})
        else:
            status, detail, headers = problems.KINDS[exc.code].status, exc.detail, {}
        if isinstance(exc, UnavailableError | RateLimitedError):
            headers["Retry-After"] = str(exc.retry_after_s)
        answer = outside("error.html", {"status": status, "detail": detail}, status=status)
        answer.headers.update(headers)
        return answer


async def _to_the_front(_request: Request) -> Response:
    return RedirectResponse(PREFIX, 308)


def _require(principal: Principal) -> None:
    """Raises `ForbiddenError` for keys that may not see all that the console shows."""
    principal.require("admin")
    if principal.collections is not None:
        raise ForbiddenError("the console needs a key that is not bound to collections")


async def _form(request: Request) -> dict[str, str]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise HTTPException(415, f"the body must be {_FORM}")
    try:
        text = (await request.body()).decode("ascii")
        form = dict(
            parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS)
        )
    except ValueError as exc:  # not ASCII, not UTF-8 behind %, or too many
        raise InvalidError("the form cannot be read", reason="encoding") from exc
    check_text(form)
    return form


def _path(request: Request) -> dict[str, object]:
    """Raises `NotFoundError` for numbers that no row can have, as for all that is not there."""
    for value in request.path_params.values():
        if isinstance(value, int) and not 1 <= value <= 2**53:
            raise NotFoundError("not found")
        if isinstance(value, str) and not value.isalnum():
            raise NotFoundError("not found")
    return dict(request.path_params)
