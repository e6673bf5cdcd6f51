from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aistack.errors import RateLimitedError, UnauthenticatedError, UnavailableError
from aistack.limits.limiter import Limiter
from aistack.limits.wrong_keys import WrongKeys
from aistack.monitoring.metrics import Metrics
from aistack.settings.schema import RateLimits, Redis

pytestmark = pytest.mark.anyio
ATTACKED = "203.0.113.9"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gives up because the machine is busy."""
    monkeypatch.setattr("aistack.limits.wrong_keys._PATIENCE_S", 60)
    monkeypatch.setattr("aistack.limits.shared.LONGEST_WAIT_S", 60)


class Database:
    """Stands where keys are looked up."""

    def __init__(self) -> None:
        self.asked = 0
        self.right = {"right", "new"}
        self.slow_s = 0.0
        self.away = False

    async def verify(self, key: str) -> str:
        self.asked += 1
        await asyncio.sleep(self.slow_s)
        if self.away:
            raise UnavailableError("the database does not answer")
        if key not in self.right:
            raise UnauthenticatedError("a valid API key is needed")
        return key


class Wall:
    def __init__(self, url: str | None = None, secret: bytes = b"secret", **settings: Any) -> None:
        self.now = 1000.0
        self.metrics = Metrics()
        redis = Redis(url=url, timeout_s=60)
        self.limiter = Limiter(
            RateLimits(**settings), redis, self.metrics, secret, clock=lambda: self.now
        )
        self.keys = WrongKeys(self.limiter, clock=lambda: self.now)
        self.database = Database()

    async def present(self, key: str, address: str = ATTACKED) -> str:
        try:
            return await self.keys.check(key, address, self.database.verify)
        except UnauthenticatedError:
            return "401"
        except RateLimitedError as exc:
            return "429" if 1 <= exc.retry_after_s <= 12 else f"429 for {exc.retry_after_s} s"


async def test_the_sixth_wrong_key_is_not_looked_up() -> None:
    wall = Wall()
    found = [await wall.present(f"wrong {i}") for i in range(8)]
    assert found == ["401"] * 5 + ["429"] * 3
    assert wall.database.asked == 5
    count = wall.metrics.registry.get_sample_value
    assert count("aidb_rate_limit_rejections_total", {"scope": "wrong_key"}) == 3


async def test_others_are_not_slowed_down() -> None:
    wall = Wall()
    for i in range(8):
        await wall.present(f"wrong {i}")
    assert await wall.present("right", "198.51.100.1") == "right"


async def test_a_right_key_that_was_seen_passes_the_wall() -> None:
    wall = Wall()
    assert await wall.present("right") == "right"
    for i in range(8):
        await wall.present(f"wrong {i}")
    for _ in range(100):
        assert await wall.present("right") == "right"
        assert await wall.present("wrong") == "429"


async def test_a_new_right_key_waits_as_long_as_the_next_attempt() -> None:
    wall = Wall()
    for i in range(8):
        await wall.present(f"wrong {i}")
    assert await wall.present("new") == "429"
    wall.now += 12.1
    assert await wall.present("new") == "new"
    assert await wall.present("wrong") == "401"
    assert await wall.present("new") == "new"


async def test_five_a_minute_go_on() -> None:
    wall = Wall()
    looked_up = 0
    for i in range(600):
        looked_up += await wall.present(f"wrong {i}") == "401"
        wall.now += 1
    assert 50 <= looked_up <= 5 + 50


async def test_a_revoked_key_loses_its_way_past_the_wall() -> None:
    wall = Wall()
    assert await wall.present("right") == "right"
    wall.database.right.clear()
    found = [await wall.present("right") for _ in range(8)]
    assert found == ["401"] * 6 + ["429"] * 2


async def test_a_client_with_a_stale_key_is_in_nobodys_way() -> None:
    wall = Wall()
    found = [await wall.present("stale") for _ in range(20)]
    assert found == ["401"] * 6 + ["429"] * 14
    assert wall.database.asked == 6
    assert await wall.present("new") == "new"
    assert await wall.present("stale") == "429"


async def test_wrong_keys_all_at_once() -> None:
    wall = Wall()
    wall.database.slow_s = 0.01
    found = await asyncio.gather(*(wall.present(f"wrong {i}") for i in range(1000)))
    assert wall.database.asked < 10
    assert found.count("429") == 1000 - wall.database.asked
    assert not wall.keys._doors


async def test_one_right_key_on_many_connections_is_never_refused() -> None:
    wall = Wall()
    wall.database.slow_s = 0.01
    found = await asyncio.gather(*(wall.present("right") for _ in range(64)))
    assert found == ["right"] * 64


async def test_a_database_that_is_away_counts_nothing() -> None:
    wall = Wall()
    wall.database.away = True
    for _ in range(20):
        with pytest.raises(UnavailableError):
            await wall.present("right")
    wall.database.away = False
    assert await wall.present("right") == "right"


async def test_a_database_that_hangs_keeps_nobody_for_ever(monkeypatch) -> None:
    monkeypatch.setattr("aistack.limits.wrong_keys._PATIENCE_S", 0.05)
    wall = Wall()
    wall.database.slow_s = 0.4
    tasks = [asyncio.create_task(wall.present("right")) for _ in range(20)]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert found.count("right") == 5
    assert sum(isinstance(f, UnavailableError) for f in found) == 15
    assert not wall.keys._doors


async def test_what_is_remembered_is_bounded() -> None:
    wall = Wall(clients=100)
    for i in range(300):
        wall.database.right.add(f"key {i}")
        await wall.present(f"key {i}", f"address {i}")
        for j in range(6):
            await wall.present(f"wrong {i} {j}", f"address {i}")
    assert len(wall.keys._right) == len(wall.keys._walls) == len(wall.keys._counts) == 100


async def test_workers_count_together(redis_server: str, secret: bytes) -> None:
    one, other = Wall(redis_server, secret), Wall(redis_server, secret)
    found = [await wall.present(f"wrong {i}") for i in range(5) for wall in (one, other)]
    # The fifth wrong key is the last that may be; each worker learns it by one of its own.
    assert found.count("401") == 6
    assert [await wall.present("new") for wall in (one, other)] == ["429", "429"]
    await one.limiter.close()
    await other.limiter.close()


async def test_retries_of_many_wrong_keys_stay_bounded() -> None:
    wall = Wall()
    known: list[str] = []
    asked_in_a_minute = []
    for minute in range(40):
        asked, end = wall.database.asked, wall.now + 60
        for key in known:
            await wall.present(key)
        while wall.now < end:
            fresh = f"{minute} {wall.now}"
            if await wall.present(fresh) == "401":
                known.append(fresh)
            wall.now += 12.1
        asked_in_a_minute.append(wall.database.asked - asked)
    assert len(known) > 150
    assert max(asked_in_a_minute) <= 2 * 50 + 10
