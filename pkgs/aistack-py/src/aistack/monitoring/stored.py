"""Metrics that live in PostgreSQL: read when they are scraped, and kept for a moment.

They are of jobs that end before anyone could scrape them, and survive a reboot.
"""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

import psycopg
from prometheus_client import CollectorRegistry, Metric, generate_latest

from aistack.errors import UnavailableError
from aistack.monitoring.contract.spec import GaugeSpec

log = logging.getLogger(__name__)

T = TypeVar("T")

_KEPT_S = 10.0
"""Several scrapers, or workers, ask PostgreSQL once in this time."""
_PATIENCE_S = 2.0
"""A scrape that takes longer is thrown away by its scraper, with all other metrics in it."""


class StoredMetrics(ABC, Generic[T]):
    """A collector with a registry of its own: these are not of one process, nor of its workers.

    Prometheus collects without waiting, PostgreSQL is asked with it: so `render` asks first. While
    the database does not answer, what was read last is still told (it was true, and stays so) and
    the gauge that `readable` names is 0.
    """

    readable: GaugeSpec
    what: str
    """What is read, as the log calls it."""

    def __init__(self) -> None:
        self._found: T | None = None
        self._readable = False
        self._next = 0.0
        self._lock = asyncio.Lock()
        self._reading: asyncio.Task[T] | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)

    @abstractmethod
    async def read(self) -> T:
        """Ask PostgreSQL."""

    @abstractmethod
    def families(self, found: T | None) -> Iterator[Metric]:
        """The metrics of what was read last; None: nothing yet."""

    async def render(self) -> bytes:
        """The exposition text, to stand behind that of the process."""
        await self.refresh()
        return generate_latest(self._registry)

    async def refresh(self) -> None:
        """Read unless that was done a moment ago; never raises for a dead database."""
        async with self._lock:
            if time.monotonic() < self._next:
                return
            try:
                # Not asyncio.timeout: psycopg, cancelled, waits for the server's word.
                if self._reading is None:
                    self._reading = asyncio.create_task(self.read())
                done, _ = await asyncio.wait([self._reading], timeout=_PATIENCE_S)
                self._readable = bool(done)
                if done:
                    reading, self._reading = self._reading, None
                    self._found = reading.result()
                else:
                    log.warning("%s cannot be read: no answer in time", self.what)
            except (UnavailableError, psycopg.Error) as exc:
                self._readable = False
                log.warning("%s cannot be read: %s", self.what, exc)
            self._next = time.monotonic() + _KEPT_S

    def describe(self) -> list[Metric]:
        """Nothing: it is known when it is read."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of what was read last."""
        yield self.readable.family(float(self._readable))
        yield from self.families(self._found)
