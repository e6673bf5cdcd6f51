"""The Redis client of an optional cache: fast to fail, quiet when down."""

import logging
import time
from typing import Any

import redis.asyncio as redis_asyncio
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from aistack.errors import ConfigError
from aistack.kit import tracing
from aistack.settings import schema
from aistack.settings.load import read_secret

log = logging.getLogger(__name__)

_REST_S = 2.0
"""How long a Redis that failed is left alone: its timeout is then paid once, not by every call."""

_APPEND = """
if redis.call('EXISTS', KEYS[1]) == tonumber(ARGV[1]) then return 0 end
for i = 5, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[i]) end
redis.call('LTRIM', KEYS[1], -tonumber(ARGV[2]), -1)
local all, size = redis.call('LRANGE', KEYS[1], 0, -1), 0
for i = #all, 1, -1 do
    size = size + #all[i]
    if size > tonumber(ARGV[3]) and i < #all then
        redis.call('LTRIM', KEYS[1], i - #all, -1)
        break
    end
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""


def check_url(url: str) -> None:
    """Raise `ConfigError` for what is no URL of a Redis."""
    try:
        parse_url(url)
    except ValueError as exc:
        raise ConfigError(
            "redis.url is no URL of a Redis: redis://HOST:PORT/0, rediss://HOST:PORT/0 or"
            " unix:///SOCKET"
        ) from exc


def connect(settings: schema.Redis, timeout_s: float) -> redis_asyncio.Redis:
    """A client of the Redis at ``settings.url``, which is set; nothing is connected yet.

    redis-py's own defaults (10 retries, 5 s timeouts) would stall requests for seconds.
    """
    if settings.url is None:
        raise ValueError("no redis.url")
    check_url(settings.url)
    password = None
    if settings.password_file:
        password = read_secret(settings.password_file, "redis.password_file")
    return (_Traced if tracing.on() else redis_asyncio.Redis).from_url(
        settings.url,
        password=password,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
    )


class _Traced(redis_asyncio.Redis):
    """A client whose commands are spans, without keys and values."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Ask the server."""
        name = str(args[0])
        told = {"db.system.name": "redis", "db.operation.name": name}
        with tracing.call(f"redis {name}", told):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


class Redis:
    """A cache that may be missing: a failed read is a miss, a failed write is dropped."""

    def __init__(self, settings: schema.Redis) -> None:
        self._client: redis_asyncio.Redis | None = None
        self._rest_until = 0.0
        self._settings = settings

    async def open(self) -> None:
        """Make the client, if a URL is set; nothing is connected yet."""
        if self._settings.url is not None:
            self._client = connect(self._settings, self._settings.timeout_s)

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

    async def append(
        self, key: str, values: list[bytes], *, most: int, most_bytes: int, ttl_s: int, new: bool
    ) -> bool:
        """Append to a list, drop its oldest beyond the bounds, let it live ``ttl_s`` seconds more.

        Args:
            key: the list's name.
            values: what to append, in order.
            most: entries to keep.
            most_bytes: bytes of all entries to keep; the newest stays whatever its size.
            ttl_s: seconds.
            new: True: only if there is no such list yet; False: only if there is.

        Returns:
            Whether it was appended; False also while Redis is away.
        """
        if self._client is None or time.monotonic() < self._rest_until:
            return False
        numbers = (int(new), most, most_bytes, ttl_s)
        try:
            done = await self._client.eval(_APPEND, 1, key, *numbers, *values)  # type: ignore[misc]
        except (RedisError, OSError) as exc:
            self._rest(exc)
            return False
        return bool(done)

    async def items(self, key: str) -> list[bytes]:
        """A list's entries, oldest first; none for a miss and for a Redis that is away."""
        if self._client is None or time.monotonic() < self._rest_until:
            return []
        try:
            found = await self._client.lrange(key, 0, -1)  # type: ignore[misc]
        except (RedisError, OSError) as exc:
            self._rest(exc)
            return []
        return [item for item in found if isinstance(item, bytes)]

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
