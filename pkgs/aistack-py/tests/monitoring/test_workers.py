"""Metrics of several workers, from their files."""

import struct

import pytest
from prometheus_client import CollectorRegistry

from aistack.errors import UnavailableError
from aistack.monitoring import metrics as module
from aistack.monitoring.metrics import Metrics


@pytest.mark.parametrize("broken", [struct.error("not whole"), RuntimeError("corrupted")])
def test_files_of_a_worker_that_begins_just_now_are_read_again(
    broken: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARED", True)
    metrics = Metrics()
    metrics.searches.labels("lexical").inc()
    times = [2]

    def collected() -> CollectorRegistry:
        times[0] -= 1
        if times[0] >= 0:
            raise broken
        return metrics.registry

    monkeypatch.setattr(metrics, "of_all_workers", collected)
    assert b'mode="lexical"} 1.0' in metrics.render()[0]
    times[0] = 10
    with pytest.raises(UnavailableError, match="of a worker"):
        metrics.render()
    assert times == [7]
