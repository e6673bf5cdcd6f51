"""How late the event loop is; the watchdog of the service manager is fed from within it."""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable

from aistack.kit.notify import notify, watchdog_period

_TICK_S = 0.1
_REMEMBERED = 50
"""Ticks: the lag of the last 5 seconds is told."""
_SAMPLE_S = 5.0


class LoopLag:
    """A task that should wake ten times a second, and measures by how much it is late.

    A loop that is blocked cannot tell so itself: it does not feed the watchdog (WatchdogSec= of
    systemd), which then restarts the service. Nothing but the loop decides about that; least of
    all whether a database answers.

    Args:
        watchdog_s: how often it wants to be fed; by default what the service manager says.
        sample: given the worst lag every five seconds, and at the start.
    """

    def __init__(
        self,
        watchdog_s: float | None = None,
        sample: Callable[[float], None] = lambda _worst_s: None,
    ) -> None:
        self._watchdog_s = watchdog_s if watchdog_s is not None else watchdog_period()
        self._sample = sample
        self._lags: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def worst_s(self) -> float:
        """The longest lag of the last seconds."""
        return max(self._lags, default=0.0)

    async def run(self) -> None:
        """Measure until cancelled."""
        feed_at = sample_at = time.monotonic()
        while True:
            start = time.monotonic()
            if self._watchdog_s is not None and start >= feed_at:
                notify(f"WATCHDOG=1\nX_PID={os.getpid()}")
                feed_at = start + self._watchdog_s / 4
            if start >= sample_at:
                self._sample(self.worst_s)
                sample_at = start + _SAMPLE_S
            await asyncio.sleep(_TICK_S)
            self._lags.append(max(0.0, time.monotonic() - start - _TICK_S))
