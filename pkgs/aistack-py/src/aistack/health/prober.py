"""Looks at one dependency again and again, in the background, and remembers what it saw.

Whoever asks how the dependency is reads memory. A status changes when two looks in a row say so,
and the second follows soon after the first; so a single slow answer changes nothing, and a real
change is known within two periods.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from aistack.errors import AistackError
from aistack.health.model import Check, Probe, Reading
from aistack.kit import tasks
from aistack.monitoring.health import HealthMetrics

log = logging.getLogger(__name__)

_AGREEING = 2
"""Looks in a row that change a status."""
_SOON = 0.25
"""The part of a period after which a look that differs is repeated."""
_JITTER = 0.1
"""Dependencies, and workers, are not looked at all at once."""
_CHANCE = random.SystemRandom()
"""Of its own: the module's common generator may be seeded and watched by others."""
_STALE = 3
"""Periods after which nothing is known any more."""


class Prober:
    """The state of one dependency, and the loop that keeps it true.

    Args:
        probe: what to look at.
        interval_s: a period.
        timeout_s: how long a look may take.
        metrics: told of every look.
        changed: called when the status has changed.
    """

    def __init__(
        self,
        probe: Probe,
        *,
        interval_s: float,
        timeout_s: float,
        metrics: HealthMetrics,
        changed: Callable[[str, Check], None] = lambda _name, _check: None,
    ) -> None:
        self.probe = probe
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._changed = changed
        self._reading: Reading | None = None
        self._since = datetime.now(UTC)
        self._looked_at: datetime | None = None
        self._looked = time.monotonic()
        self._differing = 0
        self._looking: asyncio.Task[Reading] | None = None

    def check(self) -> Check:
        """The dependency as it is known now; asks nobody."""
        age = time.monotonic() - self._looked
        reading = self._reading
        if reading is None:
            reading = Reading("fail", output="not looked at yet")
        elif age > _STALE * self._interval_s:
            reading = Reading("fail", output="the prober is stuck: nothing new is known")
        return Check(
            status=reading.status,
            critical=self.probe.critical,
            observed=reading.observed,
            unit=reading.unit,
            output=reading.output,
            checked_at=self._looked_at,
            age_s=round(age, 3) if self._looked_at is not None else None,
            since=self._since,
        )

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            pause = self._interval_s * (_SOON if self._differing else 1)
            await asyncio.sleep(pause * _CHANCE.uniform(1 - _JITTER, 1 + _JITTER))
            await self.look()

    async def look_first(self) -> None:
        """Look until something is known: two looks in a row say that it fails, here too.

        A process that starts is busy, and what it takes for a failure it would act upon.
        """
        reading = await self._see()
        if reading.status == "fail":
            reading = await self._see()
        self._remember(reading)

    async def look(self) -> None:
        """Look once, for at most the time-out, and remember what was seen."""
        self._remember(await self._see())

    async def close(self) -> None:
        """Let go of a look that hangs."""
        if self._looking is not None:
            await tasks.end(self._looking)

    async def _see(self) -> Reading:
        start = time.perf_counter()
        reading = await self._within_time()
        self._metrics.looked(self.probe.name, reading.status, time.perf_counter() - start)
        self._looked, self._looked_at = time.monotonic(), datetime.now(UTC)
        return reading

    async def _within_time(self) -> Reading:
        # Not asyncio.timeout: psycopg, cancelled, waits for a server that may be paused. A look
        # that hangs is left alone, and no other is begun beside it.
        if self._looking is None:
            self._looking = asyncio.create_task(_read(self.probe), name=f"look {self.probe.name}")
        done, _ = await asyncio.wait([self._looking], timeout=self._timeout_s)
        if not done:
            return Reading("fail", output=f"no answer within {self._timeout_s:g} s")
        looking, self._looking = self._looking, None
        return looking.result()

    def _remember(self, reading: Reading) -> None:
        known = self._reading
        if known is None or known.status == reading.status:
            self._differing = 0
        else:
            self._differing += 1
            if self._differing < _AGREEING:
                return  # the numbers of a look that is not believed are not told, either
            self._differing = 0
        self._reading = reading
        if known is None or known.status != reading.status:
            self._since = self._looked_at or self._since
            if known is not None:
                told = f": {reading.output}" if reading.output else ""
                log.warning("%s: %s, was %s%s", self.probe.name, reading.status, known.status, told)
            self._metrics.is_now(self.probe.name, reading.status)
            self._changed(self.probe.name, self.check())


async def _read(probe: Probe) -> Reading:
    try:
        return await probe.look()
    except AistackError as exc:
        return Reading("fail", output=exc.detail)
    except Exception as exc:  # a fault of the probe is no news of the dependency, but worth a look
        log.exception("the probe of %s failed", probe.name)
        return Reading("fail", output=f"the probe failed: {type(exc).__name__}")
