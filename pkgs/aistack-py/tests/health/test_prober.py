"""What one prober believes, and when."""

import asyncio
import math
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from aistack.errors import UnavailableError
from aistack.health.board import Board
from aistack.health.model import Probe, Reading, Status
from aistack.health.prober import Prober
from aistack.monitoring.health import HealthMetrics
from aistack.settings.schema import Health

pytestmark = pytest.mark.anyio

WELL = Reading("pass", 1.0, "x")


class Dependency:
    """Answers what it is told to, or hangs."""

    def __init__(self) -> None:
        self.answers: Reading | Exception | None = WELL
        """None: it never answers."""
        self.asked = 0
        self.hanging = 0

    async def look(self) -> Reading:
        self.asked += 1
        if self.answers is None:
            self.hanging += 1
            try:
                await asyncio.sleep(3600)
            finally:
                self.hanging -= 1
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers or WELL


def prober(dependency: Dependency, **more: Any) -> Prober:
    return Prober(
        Probe("thing", dependency.look, critical=True),
        **{
            "interval_s": 0.2,
            "timeout_s": 0.1,
            "metrics": HealthMetrics(CollectorRegistry()),
            **more,
        },
    )


async def status(of: Prober) -> Status:
    await of.look()
    return of.check().status


async def test_nothing_is_known_before_the_first_look() -> None:
    check = prober(Dependency()).check()
    assert (check.status, check.output) == ("fail", "not looked at yet")
    assert check.age_s is None


async def test_one_bad_look_changes_nothing_and_two_do() -> None:
    thing = Dependency()
    one = prober(thing)
    assert await status(one) == "pass"
    since = one.check().since
    thing.answers = UnavailableError("it is away")
    assert await status(one) == "pass"
    assert one.check().output is None, "what is not believed is not told"
    thing.answers = WELL
    assert await status(one) == "pass"
    thing.answers = UnavailableError("it is away")
    assert await status(one) == "pass", "the first in a row again"
    assert await status(one) == "fail"
    assert one.check().output == "it is away"
    assert one.check().since > since
    thing.answers = WELL
    assert await status(one) == "fail"
    assert await status(one) == "pass"


async def test_numbers_follow_at_once_while_the_status_is_the_same() -> None:
    thing = Dependency()
    one = prober(thing)
    await one.look()
    thing.answers = Reading("pass", 7.0, "x")
    await one.look()
    assert one.check().observed == 7.0


async def test_a_look_that_hangs_is_a_failure_and_is_not_repeated_beside_it() -> None:
    thing = Dependency()
    one = prober(thing)
    await one.look()
    thing.answers = None
    for _ in range(4):
        async with asyncio.timeout(20):
            await one.look()
    assert one.check().status == "fail"
    assert one.check().output == "no answer within 0.1 s"
    assert thing.hanging == 1
    await one.close()
    assert thing.hanging == 0


async def test_a_fault_of_the_probe_is_told_without_its_text() -> None:
    thing = Dependency()
    thing.answers = ValueError("password=secret")
    one = prober(thing)
    await one.look()
    assert one.check().output == "the probe failed: ValueError"


async def test_what_is_old_is_a_failure_of_the_prober() -> None:
    one = prober(Dependency(), interval_s=0.02, timeout_s=0.01)
    await one.look()
    await asyncio.sleep(0.08)
    check = one.check()
    assert check.status == "fail"
    assert "stuck" in (check.output or "")


async def test_a_change_is_known_within_two_periods_both_ways() -> None:
    thing = Dependency()
    one = prober(thing, interval_s=0.2, timeout_s=0.05)
    running = asyncio.create_task(one.run())
    await one.look()
    changes = ((None, "fail"), (WELL, "pass"), (UnavailableError("x"), "fail"), (WELL, "pass"))
    quickest = dict.fromkeys(range(len(changes)), math.inf)
    try:
        for _ in range(4):  # in some of which the machine may be busy elsewhere
            for number, (answers, wanted) in enumerate(changes):
                thing.answers = answers
                if thing.hanging:
                    await one.close()
                    one._looking = None
                start = time.perf_counter()
                async with asyncio.timeout(20):
                    while one.check().status != wanted:  # noqa: ASYNC110 - it is the polling
                        await asyncio.sleep(0.005)
                quickest[number] = min(quickest[number], time.perf_counter() - start)
        assert max(quickest.values()) < 2 * 0.2 + 0.1, quickest
    finally:
        running.cancel()
        await one.close()


def board(critical: bool, thing: Dependency, **more: Any) -> tuple[Board, CollectorRegistry]:
    registry = CollectorRegistry()
    probes = [Probe("thing", thing.look, critical), Probe("other", Dependency().look, True)]
    settings = Health(interval_s=0.2, timeout_s=0.1)
    return Board("aidb", probes, settings, HealthMetrics(registry), **more), registry


async def flips(one: Board, wanted: str) -> None:
    async with asyncio.timeout(20):
        while one.ready() != wanted:  # noqa: ASYNC110 - it is the polling that is tried
            await asyncio.sleep(0.01)


async def test_critical_ones_decide_and_others_degrade() -> None:
    for critical, sick, whole in ((True, "unavailable", "fail"), (False, "degraded", "warn")):
        thing = Dependency()
        told: list[tuple[str, str]] = []
        one, registry = board(
            critical,
            thing,
            changed=lambda name, check: told.append((name, check.status)),  # noqa: B023
        )
        assert one.ready() == "unavailable"
        assert not one.started()
        async with one.running():
            assert one.ready() == "ok"
            assert one.started()
            assert told == [("thing", "pass"), ("other", "pass")]
            thing.answers = UnavailableError("away")
            await flips(one, sick)
            assert one.detailed().status == whole
            assert one.detailed().checks["thing"].output == "away"
            assert one.started(), "once started is started"
            text = generate_latest(registry).decode()
            assert 'dependency_health_status{dependency="thing"} 0.0' in text
            ready = 'service_health_status{check_type="ready",service="aidb"}'
            assert f"{ready} {0.0 if critical else 1.0}" in text
            assert 'health_check_total{dependency="thing",status="fail"}' in text
            thing.answers = Reading("warn", output="slow")
            await flips(one, "degraded")
            thing.answers = WELL
            await flips(one, "ok")
        assert told[-1] == ("thing", "pass")


async def test_a_service_that_starts_beside_a_dead_database_says_so() -> None:
    thing = Dependency()
    thing.answers = None
    one, _ = board(critical=True, thing=thing)
    async with one.running():
        assert one.ready() == "unavailable"
        assert not one.started()
    assert thing.hanging == 0


async def test_a_busy_start_is_no_illness() -> None:
    """The first look fails because the process itself is slow: it is not believed."""
    ill = Dependency()
    ill.answers = UnavailableError("away")
    answers = iter([UnavailableError("slow"), WELL])

    async def look() -> Reading:
        answer = next(answers, WELL)
        if isinstance(answer, Exception):
            raise answer
        return answer

    told: list[tuple[str, Status]] = []
    board = Board(
        "test",
        [Probe("slow", look, critical=False), Probe("ill", ill.look, critical=False)],
        Health(interval_s=60, timeout_s=1),
        HealthMetrics(CollectorRegistry()),
        lambda name, check: told.append((name, check.status)),
    )
    async with board.running():
        assert board.checks()["slow"].status == "pass"
        assert board.checks()["ill"].status == "fail"
        assert ill.asked == 2
        assert told == [("slow", "pass"), ("ill", "fail")]


async def test_who_drains_is_not_ready_whatever_is_well() -> None:
    registry = CollectorRegistry()
    board = Board("test", [], Health(), HealthMetrics(registry))
    async with board.running():
        assert board.ready() == "ok"
        board.drain()
        assert board.ready() == "unavailable"
        assert board.started()
    text = generate_latest(registry).decode()
    assert 'service_health_status{check_type="ready",service="test"} 0.0' in text
