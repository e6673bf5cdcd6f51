"""What stands before every request, as plain ASGI: id, log, headers, bounds, authentication."""

import base64
import binascii
import logging
import re
import secrets
import time
from collections.abc import Callable

from prometheus_client import Counter, Histogram
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aistack.access.model import Principal
from aistack.api import problems
from aistack.api.endpoint import PRINCIPAL, ROUTE
from aistack.api.headers import header_of, set_headers
from aistack.api.limits import RateLimit, Routes, VerifyFrom
from aistack.api.tracing import Trace
from aistack.errors import AistackError, NotFoundError, TooLargeError, UnauthenticatedError
from aistack.kit import logs, tracing
from aistack.limits.limiter import Limiter
from aistack.monitoring.metrics import Metrics

PUBLIC = frozenset({"/health/live", "/health/ready", "/health/startup"})
_REFUSED = 400
SENTRY = "/api/"
"""Below it Sentry's clients report; their key comes in a header of its own or in the query."""
CONSOLE = "/console"
"""The pages of the console, which has a door, and a policy for browsers, of its own."""
STREAM = CONSOLE + "/events"
"""Open for hours: no span of it would tell anything."""
METRICS = "/metrics"
MACHINES = PUBLIC | {METRICS}
"""What balancers and scrapers ask for, all day long."""
BROWSABLE = frozenset({"/docs", "/openapi.json", METRICS})
"""Pages that a browser or scraper opens: there the key may be the password of HTTP Basic."""
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NOTHING = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_CSP = (b"content-security-policy", _NOTHING)
_CSP_OF_DOCS = (b"content-security-policy", _NOTHING + b"; style-src 'unsafe-inline'")
_NO_SNIFF = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")
_access = logging.getLogger("aistack.access_log")


def guards(
    verify: VerifyFrom,
    body_bytes: int,
    metrics: Metrics,
    limiter: Limiter,
    routes: Routes,
    console: ASGIApp | None = None,
) -> list[Middleware]:
    """All guards, outermost first; where there is a console, its requests branch off within."""
    branch = [Middleware(ConsoleBranch, console=console)] if console is not None else []
    return [
        Middleware(RequestId),
        *([Middleware(Trace, passed_over=MACHINES | {STREAM})] if tracing.on() else ()),
        Middleware(AccessLog, metrics=metrics),
        Middleware(SecurityHeaders),
        Middleware(UnexpectedErrors),
        Middleware(BodyLimit, limit=body_bytes),
        *branch,
        Middleware(Authentication, verify=verify),
        Middleware(RateLimit, limiter=limiter, routes=routes),
    ]


def _on_start(send: Send, act: Callable[[Message], None]) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            act(message)
        await send(message)

    return wrapped


class RequestId:
    """Takes a well-formed X-Request-Id or makes one; returns it and lends it to the logs."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = header_of(scope, b"x-request-id")
        own = given if _ID.fullmatch(given) else secrets.token_hex(16)

        def add(message: Message) -> None:
            set_headers(message, (b"x-request-id", own.encode("ascii")))

        token = logs.request_id.set(own)
        try:
            await self.app(scope, receive, _on_start(send, add))
        finally:
            logs.request_id.reset(token)


class AccessLog:
    """One line and two metrics a request: the route's template, never the query or any content."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics
        # Finding a series by its labels costs more than counting in it.
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        status, began = 0, None

        def note(message: Message) -> None:
            nonlocal status, began
            status = message["status"]
            if scope["path"] == STREAM:
                began = time.perf_counter()  # how long somebody looks on is no time to answer

        try:
            await self.app(scope, receive, _on_start(send, note))
        finally:
            principal: Principal | None = scope.get(PRINCIPAL)
            seconds = (began or time.perf_counter()) - start
            method, route = scope["method"], scope.get(ROUTE, "-")
            if route == "-":
                method = "-"  # a client's own words must not become labels
            self._count(method, route, status, seconds)
            # They ask every few seconds: that all is well is no news.
            news = status >= _REFUSED or scope["path"] not in MACHINES
            if news and _access.isEnabledFor(logging.INFO):
                # Made here: Logger.info would look through the stack for who calls it.
                record = logging.LogRecord(_access.name, logging.INFO, "", 0, "request", None, None)
                record.fields = {
                    "method": scope["method"],
                    "route": scope.get(ROUTE, "-"),
                    "status": status,
                    "ms": round(seconds * 1000, 1),
                    "key": principal.key_id if principal else None,
                }
                _access.handle(record)

    def _count(self, method: str, route: str, status: int, seconds: float) -> None:
        series = self._series.get((method, route, status))
        if series is None:
            series = self._series[method, route, status] = (
                self.metrics.requests.labels(method, route, str(status)),
                self.metrics.request_seconds.labels(method, route),
            )
        series[0].inc()
        series[1].observe(seconds)


class SecurityHeaders:
    """Headers that keep browsers from guessing, caching or running anything.

    Where the console has set its own, those stay.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        csp = _CSP_OF_DOCS if scope["path"] == "/docs" else _CSP

        of_console = below_console(scope)

        def add(message: Message) -> None:
            own = {name for name, _ in message["headers"]} if of_console else set()
            headers = (_NO_SNIFF, _NO_STORE, csp)
            set_headers(message, *(header for header in headers if header[0] not in own))

        await self.app(scope, receive, _on_start(send, add))


class UnexpectedErrors:
    """Turns whatever nobody else answered into a problem; the traceback goes to the log alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        started = False

        def note(_message: Message) -> None:
            nonlocal started
            started = True

        try:
            await self.app(scope, receive, _on_start(send, note))
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as exc:
            if scope["type"] != "http" or started:
                raise
            await problems.response(exc)(scope, receive, send)


class BodyLimit:
    """Answers 413 as soon as a body is, or says that it is, larger than the limit in bytes.

    The answer is given here whatever the app makes of the broken-off body: the MCP SDK would
    turn it into an internal error.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = header_of(scope, b"content-length")
        if length.isdecimal() and (len(length) > 18 or int(length) > self.limit):
            await problems.response(self._error())(scope, receive, send)
            return
        seen = 0
        started = exceeded = False

        async def bounded_receive() -> Message:
            nonlocal seen, exceeded
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                exceeded = True
                raise self._error()
            return message

        async def guarded_send(message: Message) -> None:
            nonlocal started
            if exceeded and not started:
                return
            started = True
            await send(message)

        try:
            await self.app(scope, bounded_receive, guarded_send)
        except TooLargeError:
            if started or not exceeded:
                raise
        if exceeded and not started:
            await problems.response(self._error())(scope, receive, send)

    def _error(self) -> TooLargeError:
        return TooLargeError(f"the body is larger than limits.body_bytes, {self.limit} bytes")


class ConsoleBranch:
    """Hands over what is for the console: it lets people in by a session instead of a key."""

    def __init__(self, app: ASGIApp, console: ASGIApp) -> None:
        self.app = app
        self.console = console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        ours = scope["type"] == "http" and below_console(scope)
        await (self.console if ours else self.app)(scope, receive, send)


def below_console(scope: Scope) -> bool:
    """Whether a request is for the console."""
    path: str = scope["path"]
    return path == CONSOLE or path.startswith(CONSOLE + "/")


class Authentication:
    """Lets nobody past without a valid key, but to the health checks that are public.

    Every refusal reads alike, so that it tells nothing about which keys exist.
    """

    def __init__(self, app: ASGIApp, verify: VerifyFrom) -> None:
        self.app = app
        self.verify = verify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan" or scope["path"] in PUBLIC:
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no WebSockets: ending without an answer makes the server refuse
        if "\n" in scope["path"]:
            # Starlette's patterns end in $, which also matches before a last newline: the router
            # would find a route that nothing which compares paths (limits, nginx) has seen.
            await problems.response(NotFoundError("not found"))(scope, receive, send)
            return
        basic = scope["path"] in BROWSABLE and scope["method"] in ("GET", "HEAD")
        try:
            key = presented_key(scope, basic=basic)
            scope[PRINCIPAL] = await self.verify(key, scope)
        except UnauthenticatedError:
            plain = UnauthenticatedError("no API key, or none that is valid now")
            await problems.response(plain, basic=basic)(scope, receive, send)
            return
        except AistackError as exc:
            await problems.response(exc)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def presented_key(scope: Scope, *, basic: bool) -> str:
    """The key of ``Authorization: Bearer``, HTTP Basic where allowed, or ``X-API-Key``.

    Where Sentry's clients report, also as they present the public key of their DSN.

    Raises:
        UnauthenticatedError: there is none.
    """
    if scope["path"].startswith(SENTRY) and (given := sentry_key(scope)):
        return given
    scheme, _, value = header_of(scope, b"authorization").partition(" ")
    key = header_of(scope, b"x-api-key")
    if scheme.lower() == "bearer":
        key = value.strip()
    elif scheme.lower() == "basic" and basic:
        try:
            pair = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except (binascii.Error, ValueError) as exc:
            raise UnauthenticatedError("malformed credentials") from exc
        key = pair.partition(":")[2]
    if not key:
        raise UnauthenticatedError("no key")
    return key


def sentry_key(scope: Scope) -> str:
    """The key of ``X-Sentry-Auth: Sentry sentry_key=KEY, ...`` or ``?sentry_key=KEY``, or none."""
    told = header_of(scope, b"x-sentry-auth")
    scheme, _, rest = told.partition(" ")
    if scheme.lower() == "sentry":
        pairs = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        return pairs.get("sentry_key", "").strip()
    query: bytes = scope.get("query_string", b"")
    for name, _, value in (pair.partition(b"=") for pair in query.split(b"&")):
        if name == b"sentry_key":
            return value.decode("latin-1")  # a key of ours has nothing to be unquoted
    return ""
