"""The loop's lag, and the watchdog that it feeds."""

import asyncio
import socket
import time
from itertools import pairwise
from pathlib import Path

import pytest

from aistack.health.loop import LoopLag
from aistack.kit import tasks
from aistack.kit.notify import watchdog_period

pytestmark = pytest.mark.anyio


async def test_a_blocked_loop_is_late_and_feeds_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        path = str(tmp_path / "s")
        systemd.bind(path)
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        lag = LoopLag(watchdog_s=0.4)
        running = asyncio.create_task(lag.run())
        fed_at: list[float] = []
        for _ in range(4):
            async with asyncio.timeout(20):
                told = await asyncio.get_running_loop().sock_recv(systemd, 64)
            assert told.startswith(b"WATCHDOG=1\nX_PID=")
            fed_at.append(time.monotonic())
        # The quickest: the machine may be busy elsewhere.
        soonest_s = min(after - before for before, after in pairwise(fed_at))
        assert soonest_s < 0.4 / 2, "well before the watchdog's time is over"
        assert lag.worst_s < 1
        time.sleep(1.5)  # noqa: ASYNC251 - that is the fault
        with pytest.raises(BlockingIOError):
            systemd.recv(64)
        async with asyncio.timeout(20):
            while lag.worst_s < 1.2:  # noqa: ASYNC110 - it is told with the next tick
                await asyncio.sleep(0.01)
        await tasks.end(running)


def test_the_service_manager_says_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, wanted in (("30000000", 30.0), ("", None), ("0", None), ("x", None)):
        monkeypatch.setenv("WATCHDOG_USEC", given)
        assert watchdog_period() == wanted
