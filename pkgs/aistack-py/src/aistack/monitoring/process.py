"""What the processes of a service use, and what they run."""

import logging
import os
import resource
import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from aistack import __version__
from aistack.monitoring.contract import process

_SELF = Path("/proc/self")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_STEP_S = 1.0
"""By so much the clock is not set by accident: NTP slews by half a millisecond a second."""
_log = logging.getLogger(__name__)


class ProcessMetrics:
    """One process; its metrics are of all workers together.

    The library's own collector tells of the worker alone that happens to be scraped.

    Args:
        registry: where they go.
        generation: number of the NixOS generation that runs; None where there is none.
    """

    def __init__(self, registry: CollectorRegistry, generation: int | None = None) -> None:
        self._cpu = process.CPU.on(registry)
        self._memory = process.MEMORY.on(registry)
        self._files = process.FILES.on(registry)
        self._most_files = process.MOST_FILES.on(registry)
        self._lag = process.LOOP_LAG.on(registry)
        self._clock_steps = process.CLOCK_STEPS.on(registry)
        self._counted_s = 0.0
        self._clock_ahead_s = _clock_ahead_s()
        number = "" if generation is None else str(generation)
        process.BUILD.on(registry).labels(__version__, number).set(1)

    def sample(self, loop_lag_s: float) -> None:
        """Look at the process now.

        Args:
            loop_lag_s: the worst of the last seconds.
        """
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = used.ru_utime + used.ru_stime
        self._cpu.inc(cpu_s - self._counted_s)
        self._counted_s = cpu_s
        resident = int((_SELF / "statm").read_text("ascii").split()[1])
        self._memory.set(resident * _PAGE)
        self._files.set(len(os.listdir(_SELF / "fd")))  # noqa: PTH208  # names alone are cheaper
        self._most_files.set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._lag.set(loop_lag_s)
        self._look_at_clock()

    def _look_at_clock(self) -> None:
        """Keys, limits, backups and what is collected go by the clock: one that jumps is told."""
        ahead_s = _clock_ahead_s()
        step_s = ahead_s - self._clock_ahead_s
        self._clock_ahead_s = ahead_s
        if abs(step_s) > _STEP_S:
            self._clock_steps.inc()
            _log.warning("the clock was set by %+.1f s, or the machine slept", step_s)


def _clock_ahead_s() -> float:
    """The clock's lead over one that nobody sets."""
    return time.time() - time.monotonic()
