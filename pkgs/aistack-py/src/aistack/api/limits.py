"""Rate limits at the HTTP edge: what a request weighs, and the headers that tell of it.

The headers are those of draft-ietf-httpapi-ratelimit-headers-11.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aistack.access.model import Principal
from aistack.api import problems
from aistack.api.endpoint import PRINCIPAL, ROUTE, Endpoint
from aistack.api.headers import header_of, headers_of, set_headers
from aistack.errors import AistackError, ConfigError
from aistack.limits.gcra import Decision, Rates
from aistack.limits.identity import Proxies, of_key
from aistack.limits.limiter import Limiter, refusal, seconds, unknown_routes
from aistack.limits.wrong_keys import WrongKeys
from aistack.settings.schema import RateLimits

if TYPE_CHECKING:
    from aistack.wiring import Stack

MCP_ROUTE = "POST /mcp"
Verify = Callable[[str], Awaitable[Principal]]
VerifyFrom = Callable[[str, Scope], Awaitable[Principal]]
"""Whom a key belongs to that came with the request of this ASGI scope."""
_DECISION = "aistack.rate_limit"
_CONVERTOR = re.compile(r":\w+}")


class Known(NamedTuple):
    """What the limiter has to know of a route."""

    name: str
    """Method and path as the API's description has them."""
    path: str
    weight: int


class Routes:
    """Finds the route of a request before it is routed.

    Args:
        endpoints: what is served.
        settings: what a request weighs.
        elsewhere: endpoints of other services with the same settings.

    Raises:
        ConfigError: ``rate_limits.deny_without_redis`` names a route that does not exist.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        settings: RateLimits,
        elsewhere: Sequence[Endpoint] = (),
    ) -> None:
        self._other = Known("", "", settings.query_weight)
        self._fixed = {tuple(MCP_ROUTE.split(" ")): Known(MCP_ROUTE, "/mcp", settings.query_weight)}
        self._patterns: list[tuple[str, re.Pattern[str], Known]] = []
        for endpoint in endpoints:
            name = _name(endpoint)
            reads = endpoint.method == "GET" or endpoint.scope == "read"
            weight = settings.query_weight if reads else settings.write_weight
            known = Known(name, endpoint.path, weight)
            if "{" in endpoint.path:
                pattern, _, _ = compile_path(endpoint.path)
                self._patterns.append((endpoint.method, pattern, known))
            else:
                self._fixed[endpoint.method, endpoint.path] = known
        names = [known.name for known in self._fixed.values()]
        names += [known.name for _, _, known in self._patterns]
        names += map(_name, elsewhere)
        if unknown := unknown_routes(settings, names):
            raise ConfigError(f"rate_limits.deny_without_redis: no such route: {unknown[0]}")

    def find(self, method: str, path: str) -> Known:
        """The route; for a request that none takes, one without a name."""
        method = "GET" if method == "HEAD" else method
        if found := self._fixed.get((method, path)):
            return found
        for of_method, pattern, known in self._patterns:
            if of_method == method and pattern.match(path):
                return known
        return self._other


def _name(endpoint: Endpoint) -> str:
    """Method and path as the API's description has them."""
    return f"{endpoint.method} {_CONVERTOR.sub('}', endpoint.path)}"


def verifier(verify: Verify, limiter: Limiter) -> VerifyFrom:
    """``verify`` behind the wall for wrong keys.

    Raises:
        ConfigError: ``rate_limits.trusted_proxies`` has something that is no network.
    """
    if not limiter.settings.enabled:

        async def plain(key: str, _scope: Scope) -> Principal:
            return await verify(key)

        return plain
    proxies = Proxies(limiter.settings.trusted_proxies)
    wrong_keys = WrongKeys(limiter)

    async def behind_wall(key: str, scope: Scope) -> Principal:
        return await wrong_keys.check(key, client_address(scope, proxies), verify)

    return behind_wall


def client_address(scope: Scope, proxies: Proxies) -> str:
    """The address that counts for this request; see `Proxies.client`."""
    peer = scope.get("client")
    return proxies.client(peer[0] if peer else None, headers_of(scope, b"x-forwarded-for"))


class RateLimit:
    """Lets each key ask as much as it may; stands behind the authentication.

    Requests without a principal (the health checks) are not counted. A body whose length is not
    told beforehand is weighed when it is all there.
    """

    def __init__(self, app: ASGIApp, limiter: Limiter, routes: Routes) -> None:
        self.app = app
        self.limiter = limiter
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        principal: Principal | None = scope.get(PRINCIPAL)
        if scope["type"] != "http" or principal is None or not self.limiter.settings.enabled:
            await self.app(scope, receive, send)
            return
        route = self.routes.find(scope["method"], scope["path"])
        if route.name:
            scope[ROUTE] = route.path  # for the log, should it be refused here
        length = _length(scope)
        request = _Request(self.limiter, principal, route, scope, receive, send)
        try:
            await request.count(route.weight + (length or 0) // request.bytes_per_weight)
            await self.app(scope, receive if length is not None else request.weigh, request.tell)
        except AistackError as exc:
            if exc is not request.refused:
                raise
        if request.refused is not None and not request.started:
            error, request.refused = request.refused, None
            await problems.response(error)(scope, receive, request.tell)


class _Request:
    """Counts one request, and answers it where it is too much."""

    def __init__(
        self,
        limiter: Limiter,
        principal: Principal,
        route: Known,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self.limiter = limiter
        self.identity = of_key(principal.key_id)
        self.rates = limiter.rates_of(principal.per_minute, principal.per_hour)
        self.route = route.name
        self.scope = scope
        self.receive = receive
        self.send = send
        self.bytes_per_weight = limiter.settings.bytes_per_weight
        self.started = False
        self.refused: AistackError | None = None
        self._seen = 0

    async def count(self, weight: int) -> None:
        """Raises the refusal, after noting it: the app may make something else of it."""
        try:
            decision = await self.limiter.take(
                self.identity, weight, route=self.route, override=self.rates
            )
            self.scope[_DECISION] = decision
            if not decision.allowed:
                raise refusal(decision)
        except AistackError as exc:
            self.refused = exc
            raise

    async def weigh(self) -> Message:
        message = await self.receive()
        self._seen += len(message.get("body", b""))
        if not message.get("more_body") and self._seen >= self.bytes_per_weight:
            weight, self._seen = self._seen // self.bytes_per_weight, 0
            await self.count(weight)
        return message

    async def tell(self, message: Message) -> None:
        if self.refused is not None and not self.started:
            return  # whatever the app makes of the broken-off body is not the answer
        if message["type"] == "http.response.start":
            self.started = True
            _add_headers(message, self.scope.get(_DECISION), self.rates)
        await self.send(message)


async def charge_tool(
    stack: Stack, scope: Scope | None, principal: Principal, *, writes: bool, route: str = MCP_ROUTE
) -> None:
    """Count a writing MCP tool as a write: its POST has been counted as a question.

    Args:
        stack: the stack.
        scope: the ASGI scope of the POST, whose answer tells what remains; None: not over HTTP, by
            the operator of this host, who is not limited.
        principal: who calls it.
        writes: whether the tool writes.
        route: the HTTP operation that does the same: refused without Redis as that is.

    Raises:
        RateLimitedError: the client has asked too much.
        UnavailableError: requests cannot be counted now, and are refused then.
    """
    settings = stack.limiter.settings
    if scope is not None and settings.enabled:
        stack.limiter.refuse_degraded(route)
    more = settings.write_weight - settings.query_weight
    if scope is None or not writes or more <= 0 or not settings.enabled:
        return
    decision = await stack.limiter.take(
        of_key(principal.key_id),
        more,
        route=MCP_ROUTE,
        override=stack.limiter.rates_of(principal.per_minute, principal.per_hour),
    )
    scope[_DECISION] = decision
    if not decision.allowed:
        raise refusal(decision)


def _length(scope: Scope) -> int | None:
    told = header_of(scope, b"content-length")
    if told.isdecimal() and not headers_of(scope, b"transfer-encoding"):
        return int(told)
    return None


def _add_headers(message: Message, decision: Decision | None, rates: Rates) -> None:
    if decision is None:
        return
    # Where Retry-After is told as well, both must name the same moment.
    wait = math.ceil(decision.next_s) if decision.allowed else seconds(decision.retry_after_s)
    left = f'"{decision.rate.name}";r={decision.remaining};t={wait}'
    set_headers(
        message, (b"ratelimit-policy", _policy(rates)), (b"ratelimit", left.encode("ascii"))
    )


@lru_cache(maxsize=64)
def _policy(rates: Rates) -> bytes:
    told = (f'"{rate.name}";q={rate.limit};w={round(rate.period_s)}' for rate in rates)
    return ", ".join(told).encode("ascii")


# Starlette's Headers serve any case and any use; a look costs them three times as much or more.
