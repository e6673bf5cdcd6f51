"""What a process tells of itself."""

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry

from aistack import __version__
from aistack.health.loop import LoopLag
from aistack.kit import tasks
from aistack.monitoring.process import ProcessMetrics


def test_a_sample_is_of_this_process() -> None:
    registry = CollectorRegistry()
    process = ProcessMetrics(registry, generation=7)
    process.sample(0.25)
    value = registry.get_sample_value
    before = value("aistack_process_cpu_seconds_total") or 0.0
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    process.sample(0.0)
    # Counted once, however often one looks.
    assert 0.05 <= (value("aistack_process_cpu_seconds_total") or 0.0) - before < 1.0
    assert (value("aistack_process_resident_memory_bytes") or 0) > 10 << 20
    assert 3 <= (value("aistack_process_open_fds") or 0) <= (value("aistack_process_max_fds") or 0)
    assert value("aistack_build_info", {"version": __version__, "generation": "7"}) == 1


def test_a_clock_that_is_set_is_counted_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, now = CollectorRegistry(), [1000.0, 50.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[1])
    process = ProcessMetrics(registry)
    for wall_s, ran_s, steps in ((5, 5, 0), (4.5, 5, 0), (3605, 5, 1), (-3595, 5, 2), (5, 5, 2)):
        now[0] += wall_s
        now[1] += ran_s
        process.sample(0.0)
        assert registry.get_sample_value("aistack_clock_steps_total") == steps


@pytest.mark.anyio
async def test_the_loop_takes_a_sample_when_it_starts() -> None:
    samples: list[float] = []
    running = asyncio.create_task(LoopLag(watchdog_s=None, sample=samples.append).run())
    await asyncio.sleep(0.3)
    await tasks.end(running)
    assert samples == [0.0]
