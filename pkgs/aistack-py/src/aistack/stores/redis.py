"""The Redis client of an optional cache: fast to fail, quiet when down."""

import logging
import time

import redis.asyncio as redis_asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from aistack.settings import schema
from aistack.settings.load import read_secret

log = logging.getLogger(__name__)

_REST_S = 2.0
"""How long a Redis that failed is left alone: its timeout is then paid once, not by every call."""


class Redis:
    """A cache that may be missing: a failed read is a miss, a failed write is dropped.

    redis-py's own defaults (10 retries, 5 s timeouts) would stall requests for seconds.
    """

    def __init__(self, settings: schema.Redis) -> None:
        self._client: redis_asyncio.Redis | None = None
        self._rest_until = 0.0
        self._settings = settings

    async def open(self) -> None:
        """Make the client, if a URL is set; nothing is connected yet."""
        s = self._settings
        if s.url is None:
            return
        password = read_secret(s.password_file, "redis.password_file") if s.password_file else None
        self._client = redis_asyncio.Redis.from_url(
            s.url,
            password=password,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=s.timeout_s,
            socket_connect_timeout=s.timeout_s,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()

    @property
    def configured(self) -> bool:
        """Whether there should be a Redis."""
        return self._client is not None

    async def get(self, key: str) -> bytes | None:
        """The cached value, or None for a miss and for a Redis that is away."""
        if self._client is None or time.monotonic() < self._rest_until:
            return None
        try:
            value = await self._client.get(key)
        except (RedisError, OSError) as exc:
            self._rest(exc)
            return None
        return value if isinstance(value, bytes) else None

    async def set(self, key: str, value: bytes, *, ttl_s: int) -> None:
        """Cache a value for ``ttl_s`` seconds, if Redis is there."""
        if self._client is None or time.monotonic() < self._rest_until:
            return
        try:
            await self._client.set(key, value, ex=ttl_s)
        except (RedisError, OSError) as exc:
            self._rest(exc)

    async def ping(self) -> bool:
        """Whether Redis answers now."""
        if self._client is None:
            return False
        try:
            return bool(await self._client.echo("ping"))
        except (RedisError, OSError):
            return False

    def _rest(self, exc: Exception) -> None:
        self._rest_until = time.monotonic() + _REST_S
        log.warning("redis does not answer (%s); working without", type(exc).__name__)
