"""All that is known of a service's health, in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aistack.health.loop import LoopLag
from aistack.health.model import Check, Detailed, Probe, Readiness, Status
from aistack.health.prober import Prober
from aistack.kit import tasks
from aistack.kit.notify import notify
from aistack.monitoring.health import HealthMetrics
from aistack.settings.schema import Health

_WORST: dict[Status, int] = {"pass": 0, "warn": 1, "fail": 2}


class Board:
    """The checks of one service; every question to it is answered from memory."""

    def __init__(
        self,
        service: str,
        probes: Sequence[Probe],
        settings: Health,
        metrics: HealthMetrics,
        changed: Callable[[str, Check], None] = lambda _name, _check: None,
        sample: Callable[[float], None] = lambda _lag_s: None,
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._tell = changed
        self._lag = LoopLag(sample=sample)
        self._started_at = datetime.now(UTC)
        self._has_started = False
        self._looked = False
        self._draining = False
        self._probers = {
            probe.name: Prober(
                probe,
                interval_s=settings.interval_s,
                timeout_s=settings.timeout_s,
                metrics=metrics,
                changed=self._changed,
            )
            for probe in probes
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Board"]:
        """Look at all once, then go on in the background until the block ends."""
        await asyncio.gather(*(prober.look_first() for prober in self._probers.values()))
        self._looked = True
        self._publish()
        works = [self._lag.run(), *(prober.run() for prober in self._probers.values())]
        running = [asyncio.create_task(work, name="health") for work in works]
        try:
            yield self
        finally:
            await asyncio.gather(*(tasks.end(task) for task in running))
            await asyncio.gather(*(prober.close() for prober in self._probers.values()))

    def started(self) -> bool:
        """Whether everything critical was well once since the start; it stays so."""
        self._has_started = self._has_started or self.ready() != "unavailable"
        return self._has_started

    def ready(self) -> Readiness:
        """Whether requests can be answered; degraded: not all, or more slowly."""
        checks = self.checks().values()
        if self._draining or any(check.critical and check.status == "fail" for check in checks):
            return "unavailable"
        return "ok" if all(check.status == "pass" for check in checks) else "degraded"

    def drain(self) -> None:
        """Be not ready from now on: whoever sends requests shall send them elsewhere."""
        self._draining = True
        self._publish()

    def checks(self) -> dict[str, Check]:
        """Every dependency as it is known now."""
        return {name: prober.check() for name, prober in self._probers.items()}

    def detailed(self) -> Detailed:
        """Everything, with the worst that counts as the whole: what is not critical only warns."""
        checks = self.checks()
        worst: Status = "pass"
        for check in checks.values():
            status = "warn" if check.status == "fail" and not check.critical else check.status
            worst = max(worst, status, key=_WORST.__getitem__)
        return Detailed(
            status=worst,
            service=self._service,
            started_at=self._started_at,
            loop_lag_s=round(self._lag.worst_s, 4),
            checks=checks,
        )

    def _changed(self, name: str, check: Check) -> None:
        self._tell(name, check)
        if self._looked:  # else the others are not known yet
            self._publish()

    def _publish(self) -> None:
        """Tell the metrics, and who looks at `systemctl status`."""
        ready = self.ready()
        self._metrics.service_is(self._service, live=True, started=self.started(),
                                 ready=ready != "unavailable")  # fmt: skip
        sick = sorted(name for name, check in self.checks().items() if check.status != "pass")
        told = "draining" if self._draining else ready
        notify(f"STATUS={told}" + (f": {', '.join(sick)}" if sick else ""))
