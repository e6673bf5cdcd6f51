"""The loop's lag, and the watchdog that it feeds."""

import asyncio
import socket
import time
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
        await asyncio.sleep(0.65)
        fed = 0
        while True:
            try:
                assert systemd.recv(64).startswith(b"WATCHDOG=1\nX_PID=")
                fed += 1
            except BlockingIOError:
                break
        assert fed >= 3, "well before the watchdog's time is over"
        assert lag.worst_s < 0.1
        time.sleep(0.5)  # noqa: ASYNC251 - that is the fault
        with pytest.raises(BlockingIOError):
            systemd.recv(64)
        await asyncio.sleep(0.15)
        assert lag.worst_s > 0.3
        await tasks.end(running)


def test_the_service_manager_says_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, wanted in (("30000000", 30.0), ("", None), ("0", None), ("x", None)):
        monkeypatch.setenv("WATCHDOG_USEC", given)
        assert watchdog_period() == wanted
