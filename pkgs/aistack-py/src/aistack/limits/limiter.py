"""What the edges ask: Redis where there is one, this process where there is none or it is away."""

import asyncio
import logging
import math
import time
from collections.abc import Iterable
from functools import lru_cache

from aistack.errors import RateLimitedError, UnavailableError
from aistack.kit import tasks
from aistack.limits.gcra import Clock, Decision, LocalLimiter, Rates
from aistack.limits.shared import SharedLimiter
from aistack.monitoring.metrics import Metrics
from aistack.settings import schema

log = logging.getLogger(__name__)

REST_S = 1.0
"""How often a Redis that failed is tried again, in the background."""
_PROBE = "probe"
_SCOPES = ("minute", "hour", "wrong_key", "degraded")


class Limiter:
    """Decides about requests, in Redis or here, and never waits twice for a silent Redis.

    The first failure opens a circuit: from then on everybody is decided about here, at once, and
    one task in the background tries Redis until it answers.

    Args:
        settings: the rates, and what holds without Redis.
        redis: where Redis is, if anywhere.
        metrics: told of refusals, of the time that decisions take and of a Redis that is away.
        secret: see `SharedLimiter`.
        clock: of the limiter in this process.
    """

    def __init__(
        self,
        settings: schema.RateLimits,
        redis: schema.Redis,
        metrics: Metrics,
        secret: bytes,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self.settings = settings
        self.rates = Rates.of(settings.per_minute, settings.per_hour)
        self._clock = clock
        self._local = LocalLimiter(settings.clients, clock)
        wanted = settings.enabled and redis.url is not None
        self._shared = SharedLimiter(redis, secret) if wanted else None
        self._denied = frozenset(settings.deny_without_redis)
        self._away = False
        self._recovery: asyncio.Task[None] | None = None
        self._seconds = metrics.rate_limit_seconds
        self._degraded = metrics.rate_limiter_degraded
        self._degraded.set(0)
        # All at once: a series that begins at its first refusal would hide that one from rate().
        self._rejections = {scope: metrics.rate_limit_rejections.labels(scope) for scope in _SCOPES}

    @property
    def degraded(self) -> bool:
        """Whether Redis is configured and away."""
        return self._away

    def rates_of(self, per_minute: int | None, per_hour: int | None) -> Rates:
        """A client's rates, where None means those of the settings."""
        if per_minute is None and per_hour is None:
            return self.rates
        settings = self.settings
        return _rates(per_minute or settings.per_minute, per_hour or settings.per_hour)

    def local(self) -> LocalLimiter:
        """Another table of clients, for those that must not push out the ones that hold keys."""
        return LocalLimiter(self.settings.clients, self._clock)

    async def close(self) -> None:
        """Stop asking Redis."""
        if self._recovery is not None:
            await tasks.end(self._recovery)
        if self._shared is not None:
            await self._shared.close()

    async def take(
        self, identity: str, weight: int = 1, *, route: str = "", override: Rates | None = None
    ) -> Decision:
        """Count one request, and say whether it may pass.

        Args:
            identity: who asks, by `aistack.limits.identity`.
            weight: at least 1.
            route: method and path as in ``rate_limits.deny_without_redis``.
            override: rates of this client instead of those of the settings.

        Raises:
            UnavailableError: Redis is away, and the settings refuse such requests then.
        """
        started = time.perf_counter()
        rates = override or self.rates
        decision = None
        if self._shared is not None:
            decision = await self._ask_shared(identity, rates, weight)
        if decision is None:
            self.refuse_degraded(route)
            decision = self._local.take(identity, rates, weight)
        self._seconds.observe(time.perf_counter() - started)
        if not decision.allowed:
            self.count(decision.rate.name)
        return decision

    def refuse_degraded(self, route: str) -> None:
        """Raise `UnavailableError` where Redis is away and the settings refuse the route then."""
        if self._away and (self.settings.without_redis == "deny" or route in self._denied):
            self.count("degraded")
            raise UnavailableError(
                "requests cannot be counted now", retry_after_s=math.ceil(2 * REST_S)
            )

    async def spend(self, identity: str, rates: Rates, local: LocalLimiter) -> Decision:
        """Count one event apart from requests; without Redis always in ``local``."""
        return await self._ask_shared(identity, rates, 1) or local.take(identity, rates)

    def count(self, scope: str) -> None:
        """Count a refusal; scope: minute, hour, wrong_key, degraded."""
        self._rejections[scope].inc()

    async def _ask_shared(self, identity: str, rates: Rates, weight: int) -> Decision | None:
        if self._shared is None or self._away:
            return None
        try:
            return await self._shared.take(identity, rates, weight)
        except UnavailableError as exc:
            if not self._away:
                self._away = True
                self._degraded.set(1)
                cause = type(exc.__cause__ or exc).__name__
                log.warning("redis does not answer (%s); limits hold in each process", cause)
                self._recovery = asyncio.create_task(self._recover(), name="rate-limiter-recovery")
            return None

    async def _recover(self) -> None:
        if self._shared is None:
            return
        while self._away:
            await asyncio.sleep(REST_S)
            try:
                # A real decision: a Redis that answers but takes no writes is of no use.
                await self._shared.take(_PROBE, self.rates)
            except UnavailableError:
                # Again: of several workers the last that spoke is believed.
                self._degraded.set(1)
            else:
                self._away = False
        self._degraded.set(0)
        log.info("redis answers again; limits are shared")


@lru_cache(maxsize=1024)
def _rates(per_minute: int, per_hour: int) -> Rates:
    return Rates.of(per_minute, per_hour)


def refusal(decision: Decision) -> RateLimitedError:
    """The error that tells of a refused request."""
    rate = decision.rate
    return RateLimitedError(
        f"more than {rate.limit} a {rate.name}", retry_after_s=seconds(decision.retry_after_s)
    )


def seconds(wait: float) -> int:
    """Whole seconds that are surely enough; at least 1."""
    return max(1, math.ceil(wait))


def unknown_routes(settings: schema.RateLimits, known: Iterable[str]) -> list[str]:
    """Names in ``deny_without_redis`` that no route has."""
    return sorted(set(settings.deny_without_redis) - set(known))
