import socket
import time

import pytest

from aistack.settings.schema import Redis as RedisSettings
from aistack.stores.redis import Redis

pytestmark = pytest.mark.anyio


async def test_values_are_kept(redis_server: str) -> None:
    cache = Redis(RedisSettings(url=redis_server))
    await cache.open()
    await cache.set("name", b"value", ttl_s=60)
    assert await cache.get("name") == b"value"
    assert await cache.ping()
    await cache.close()


async def test_a_redis_that_is_away_costs_a_miss_and_no_time() -> None:
    # Connections wait in its queue; nobody takes them.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        cache = Redis(RedisSettings(url=url, timeout_s=0.5))
        await cache.open()
        assert await cache.get("name") is None
        started = time.monotonic()
        for _ in range(100):
            await cache.set("name", b"value", ttl_s=60)
            assert await cache.get("name") is None
        assert time.monotonic() - started < 30, "each call waits for a Redis known to be away"
        assert not await cache.ping()
        await cache.close()
