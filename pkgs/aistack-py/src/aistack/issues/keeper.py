"""The work in the background: spool to PostgreSQL, notifications, spikes, eviction."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import psycopg

from aistack.errors import AistackError
from aistack.issues.analysis import spiking
from aistack.issues.drain import drain
from aistack.issues.notify import Notifier
from aistack.issues.spool import Spool
from aistack.issues.store import Issues
from aistack.kit import tasks
from aistack.settings import schema
from aistack.stores.postgres import Postgres

log = logging.getLogger(__name__)

_LOOK_S = 1.0
"""How often other processes' events are looked for; our own wake it."""
_REST_S = 5.0
"""After an error."""
_TIDY_S = 300.0


class Keeper:
    """One such task in each serving process; the spool's lock and PostgreSQL's let one work."""

    def __init__(
        self,
        issues: Issues,
        spool: Spool | None,
        notifier: Notifier,
        postgres: Postgres,
        settings: schema.Issues,
    ) -> None:
        self._issues = issues
        self._spool = spool
        self._notifier = notifier
        self._postgres = postgres
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._tidied = -_TIDY_S
        self._fitted = False

    def appended(self) -> None:
        """Something lies in the spool; callable from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work within the block; what is not stored at its end stays in the spool."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.create_task(self._run(), name="issues")
        try:
            yield
        finally:
            await tasks.end(task)
            self._loop = None

    async def _run(self) -> None:
        failing = False
        while True:
            try:
                await self._round()
                failing = False
                rest = _LOOK_S
            except (AistackError, psycopg.Error) as exc:
                # Once: while PostgreSQL is away there would be nothing else in the log.
                if not failing:
                    log.warning("issues wait in the spool: %s", exc)
                failing, rest = True, _REST_S
            except Exception:
                log.exception("the issue tracker's work failed")
                rest = _REST_S
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._wake.wait()
            self._wake.clear()

    async def _round(self) -> None:
        if self._spool is not None and (await asyncio.to_thread(self._spool.depth)).bytes:
            await drain(self._spool, self._issues)
        await self._notifier.send()
        if time.monotonic() - self._tidied > _TIDY_S:
            self._tidied = time.monotonic()
            now = datetime.now(UTC)
            if not self._fitted:
                await self._issues.fit()
                self._fitted = True
            if gone := await self._issues.tidy(now):
                log.info("%d issues were evicted (issues.most)", gone)
            if self._notifier.enabled:
                await self._notifier.announce(await spiking(self._postgres, now), "spiking")
