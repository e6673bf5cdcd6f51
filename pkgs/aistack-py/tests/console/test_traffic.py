"""The ring of samples, and the lines drawn from it."""

from __future__ import annotations

import asyncio
import math
import re
import struct

import pytest
from hypothesis import given, strategies as st
from prometheus_client import CollectorRegistry

from aistack.api.console import plot, traffic as traffic_module
from aistack.api.console.traffic import Point, Sample, Traffic, between, quantile, read
from aistack.kit import tasks
from aistack.monitoring.metrics import Metrics

NUMBER = re.compile(r"[ML](-?[\d.]+) (-?[\d.]+)")


def test_a_sample_adds_up_what_people_asked() -> None:
    metrics = Metrics()
    for route, status, times in (
        ("/v1/query", "200", 5), ("/v1/query", "429", 2), ("-", "401", 1), ("/v1/keys", "503", 3),
        ("/health/ready", "200", 99), ("/metrics", "200", 99), ("/console/events", "200", 99),
    ):  # fmt: skip
        metrics.requests.labels("GET", route, status).inc(times)
        metrics.request_seconds.labels("GET", route).observe(0.02)
    found = read(metrics.of_all_workers(), 7.0)
    assert found[:4] == (7.0, 5.0, 3.0, 3.0)
    assert found.buckets[-1] == (math.inf, 4.0)
    assert Traffic(metrics).sample()[1:] == found[1:]


def test_rates_and_percentiles_between_two_samples() -> None:
    before = Sample(0.0, 10, 1, 0, ((0.1, 10.0), (1.0, 11.0), (math.inf, 11.0)))
    after = Sample(15.0, 40, 4, 3, ((0.1, 20.0), (1.0, 31.0), (math.inf, 31.0)))
    point = between(before, after)
    assert point[:4] == (15.0, 2.0, pytest.approx(0.2), pytest.approx(0.2))
    assert point.p50 == pytest.approx(0.1)
    assert point.p95 == pytest.approx(0.1 + 0.9 * 9 / 10)
    # A counter that fell began anew: never a rate below 0.
    assert between(after, before)[1:4] == (0, 0, 0)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=12), st.floats(0.01, 1))
def test_a_percentile_lies_within_the_buckets(counts: list[float], share: float) -> None:
    total, buckets = 0.0, []
    for number, count in enumerate(counts):
        total += count
        bound = math.inf if number == len(counts) - 1 else 0.01 * 2**number
        buckets.append((bound, total))
    found = quantile(buckets, share)
    assert (found is None) == (total == 0)
    if found is not None:
        assert 0 <= found <= buckets[-2][0]


@pytest.mark.anyio
@pytest.mark.parametrize("broken", [struct.error("not whole"), RuntimeError("corrupted")])
async def test_files_that_are_not_whole_end_no_sampling(
    broken: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic_module, "PERIOD_S", 0.001)
    metrics = Metrics()
    registries: list[CollectorRegistry | Exception] = [broken]

    def collected() -> CollectorRegistry:
        found = registries.pop() if registries else metrics.registry
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(metrics, "of_all_workers", collected)
    traffic = Traffic(metrics)
    sampling = asyncio.create_task(traffic.run())
    async with asyncio.timeout(10):
        while not (traffic.samples or sampling.done()):  # noqa: ASYNC110 - a task that may end
            await asyncio.sleep(0.001)
    assert not sampling.done()
    await tasks.end(sampling)


def test_the_ring_holds_an_hour() -> None:
    traffic = Traffic(Metrics())
    for second in range(0, 9000, 15):
        traffic.samples.append(Sample(second, second, 0, 0, ()))
    points = traffic.points()
    assert len(points) == 240
    assert {p.answered for p in points} == {1.0}


def points(*values: tuple[float, float | None]) -> list[Point]:
    return [Point(at, 1.0, 0.0, 0.0, v, v, v) for at, v in values]


def test_lines_stay_within_the_drawing_and_break_at_gaps() -> None:
    drawn = plot.hour(points((10, 0.1), (25, 0.2), (400, 9.9), (415, None), (430, 0.3)), 3600.0)
    path = drawn.latency.lines[0].path
    assert path.count("M") == 2, "a gap of minutes is not bridged, a missing value of 15 s is"
    for x, y in NUMBER.findall(path):
        assert 0 <= float(x) <= plot.WIDTH
        assert 0 <= float(y) <= plot.HEIGHT
    assert drawn.latency.top == "10.0 s"
    assert drawn.latency.lines[0].now == "300 ms"
    assert [row.cells[0] for row in drawn.latency.rows] == ["9.9 s", "200 ms"]


def test_nothing_known_yet_is_drawn_as_nothing() -> None:
    drawn = plot.hour([], 3600.0)
    assert [line.path for line in drawn.rates.lines] == ["", "", ""]
    assert drawn.rates.rows == ()
    assert drawn.points == "[]"


@given(st.floats(1e-3, 1e9))
def test_the_upper_edge_is_round_and_near(value: float) -> None:
    top = plot.round_up(value)
    assert value <= top * (1 + 1e-6)
    assert top <= 2.01 * value
