"""The tracker of one database, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from aistack.issues.analysis import Analysis, analyze
from aistack.issues.drain import drain
from aistack.issues.keeper import Keeper
from aistack.issues.metrics import IssueMetrics
from aistack.issues.notify import Notifier
from aistack.issues.plots import Plots, plots
from aistack.issues.recorder import Recorder, redactor_of, spool_of
from aistack.issues.store import Issues
from aistack.kit.signing import Signer
from aistack.migrations.instance import cursor_key
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres


class Tracker:
    """What records, stores, tells and tidies."""

    def __init__(self, settings: Settings, postgres: Postgres, signer: Signer) -> None:
        self._postgres = postgres
        self._settings = settings.issues
        self._spool = spool_of(settings)
        notifier = Notifier(postgres, settings.issues.notify)
        self.issues = Issues(postgres, signer, settings.issues, announce=notifier.enabled)
        self._keeper = Keeper(self.issues, self._spool, notifier, postgres, settings.issues)
        self.recorder = Recorder(
            redactor_of(settings), self._spool, self.issues, self._keeper.appended
        )
        self.metrics = IssueMetrics(postgres, self._spool)

    async def drain(self) -> int | None:
        """Store what lies in the spool; None: another process does it now."""
        return await drain(self._spool, self.issues) if self._spool else 0

    async def analyze(self, window: timedelta) -> Analysis:
        """Look at all issues that were seen within the window, at least two hours."""
        return await analyze(self._postgres, self._settings, window)

    async def plots(self, found: Analysis) -> Plots:
        """The numbers to draw beside an analysis."""
        return await plots(self._postgres, found)

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Store, notify and tidy in the background within the block."""
        async with self._keeper.running():
            yield


@asynccontextmanager
async def open_tracker(settings: Settings) -> AsyncIterator[Tracker]:
    """The tracker alone: its commands need no index, and a failed unit waits for nothing else.

    Raises:
        UnavailableError: the database does not answer, or `aistack migrate` is due.
    """
    postgres = Postgres(settings.postgres)
    await postgres.open()
    try:
        yield Tracker(settings, postgres, Signer(await cursor_key(postgres)))
    finally:
        await postgres.close()
