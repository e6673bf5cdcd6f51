"""Garbage collection of one database: plan, run, undo, history."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from aistack.coordinator.trash import Trash
from aistack.errors import AistackError, ConflictError, NotFoundError
from aistack.gc import plan, rails, totals
from aistack.gc.apply import Applier
from aistack.gc.context import Context, Moment
from aistack.gc.model import (
    Deletion,
    Plan,
    Report,
    Result,
    RunInfo,
    Status,
    Undone,
)
from aistack.gc.plan import PlanFile
from aistack.gc.sweep import sweep
from aistack.knowledge.documents import Documents
from aistack.knowledge.vectors import Vectors
from aistack.screening.screen import ScreenedError
from aistack.settings.schema import GarbageCollection
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

log = logging.getLogger(__name__)

_QUERIES = load_queries("aistack.gc", "gc.sql")
_LOCK = 0x676172626167
"""Any constant; with the database it names the right to collect."""
_PAGE = 500
_UNDO_BATCH = 50


class BusyError(ConflictError):
    """Another process collects now."""


class Collector:
    """Collects, or says what it would. One at a time over all hosts of a database."""

    def __init__(
        self,
        postgres: Postgres,
        vectors: Vectors,
        documents: Documents,
        trash: Trash,
        settings: GarbageCollection,
    ) -> None:
        self._postgres = postgres
        self._vectors = vectors
        self._trash = trash
        self._settings = settings
        self._applier = Applier(postgres, vectors, documents, trash)

    async def plan(self, file: PlanFile, *, full: bool = False, force: bool = False) -> Plan:
        """What a run would do now; nothing is changed.

        Args:
            file: takes the steps.
            full: compare all solutions with each other, not only the new ones with all.
            force: plan also where a run would refuse.

        Raises:
            RefusedError: a run would refuse.
            UnavailableError: PostgreSQL does not answer.
        """
        return await self._plan(await self._moment(), file, full=full, force=force)

    async def run(self, *, full: bool = False, force: bool = False) -> Report:
        """Plan, and do what the plan says.

        Raises:
            BusyError: another run is under way, on this host or another.
            RefusedError: what is stored does not look right; nothing was changed.
            UnavailableError: PostgreSQL does not answer; what was done so far is whole.
        """
        async with self._alone() as still:
            moment = await self._moment()
            run = await self._start("run", None, force)
            try:
                with PlanFile() as file:
                    made = await self._plan(moment, file, full=full, force=force)
                    unchanged = await self._applier.apply(run, file.steps(), still)
                await still()
                sweeps = await sweep(self._postgres, self._trash, self._settings, moment.now)
            except BaseException as exc:
                await self._give_up(run, moment, exc)
                raise
            skipped = any(report.skipped for report in made.tiers.values())
            report = Report(
                run=run,
                result="partial" if skipped else "ok",
                tiers=made.tiers,
                sweeps=sweeps,
                unchanged=unchanged,
                live_before=moment.live,
                live_after=0,
                warnings=made.warnings,
            )
            report.live_after = await self._finish(run, report.result, moment, report, made)
        return report

    async def undo(self, run: int) -> Undone:
        """Bring back what a run took away and is still in the trash; doing it twice is no more.

        Raises:
            NotFoundError: there is no such run, or it was an undo itself.
            BusyError: another run is under way.
            UnavailableError: PostgreSQL does not answer; what is back is back.
        """
        rows = await self._postgres.fetch(_QUERIES["run_exists"], {"id": run})
        if not rows or rows[0]["kind"] != "run":
            raise NotFoundError(f"there is no run {run} to undo; aistack gc history lists them")
        async with self._alone() as still:
            moment = await self._moment()
            own = await self._start("undo", run, forced=False)
            done = Undone(run=own, undoes=run, restored=0, refused=0)
            try:
                await self._bring_back(done, still)
            except BaseException as exc:
                await self._give_up(own, moment, exc)
                raise
            await self._finish(own, "partial" if done.refused else "ok", moment, done, None)
        return done

    async def _bring_back(self, done: Undone, still: Callable[[], Awaitable[None]]) -> None:
        values = {"run": done.undoes, "limit": _UNDO_BATCH}
        async for rows in self._postgres.pages(_QUERIES["in_trash_of"], values):
            await still()
            for row in rows:
                try:
                    done.restored += await self._bring_one(done.undoes, row["id"])
                except ScreenedError as exc:
                    done.refused += 1
                    log.warning("solution %s stays in the trash: %s", row["id"], exc.detail)

    async def _bring_one(self, run: int, solution: UUID) -> bool:
        async with self._postgres.transaction() as conn:
            back = await self._trash.bring_back(conn, solution)
            if back:
                values = {"run": run, "ids": [solution]}
                await conn.execute(_QUERIES["record_restored"], values)
                await totals.add(conn, "restored", "", 1)
        return back

    async def history(self, run: int | None = None, *, limit: int = 20) -> list[RunInfo]:
        """The newest runs, newest first, or one; raises `NotFoundError` where there is no such."""
        rows = await self._postgres.fetch(_QUERIES["runs"], {"id": run, "limit": limit})
        if run is not None and not rows:
            raise NotFoundError(f"there is no run {run}; aistack gc history lists them")
        return msgspec.convert(rows, list[RunInfo])

    async def deletions(self, run: int) -> AsyncIterator[Deletion]:
        """What a run took away, by id."""
        values: dict[str, Any] = {"run": run, "after": UUID(int=0), "limit": _PAGE}
        while rows := await self._postgres.fetch(_QUERIES["deletions"], values):
            for row in rows:
                yield msgspec.convert(row, Deletion)
            values["after"] = rows[-1]["subject"]

    async def status(self) -> Status:
        """The store as it is now."""
        (row,) = await self._postgres.fetch(_QUERIES["status"], {})
        (lock,) = await self._postgres.fetch(_QUERIES["lock_taken"], {"lock": _LOCK})
        runs = await self.history(limit=1)
        more = {
            "max_solutions": self._settings.max_solutions,
            "running": lock["taken"],
            "last_run": runs[0] if runs else None,
        }
        return msgspec.convert(row | more, Status)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Hold the right to collect; what is given asks whether it still is held."""
        async with self._postgres.dedicated() as conn:
            row = await (await conn.execute(_QUERIES["try_lock"], {"lock": _LOCK})).fetchone()
            if not (row and row["taken"]):
                raise BusyError("another garbage collection is under way; this one has ended")
            await conn.execute(_QUERIES["bury_the_killed"])

            async def still() -> None:
                # The lock ends with its connection: without it another may have begun.
                await conn.execute("select 1")

            yield still
            # Closing the connection frees it too, but at a time of the server's choosing.
            await conn.execute(_QUERIES["unlock"], {"lock": _LOCK})

    async def _moment(self) -> Moment:
        (row,) = await self._postgres.fetch(_QUERIES["moment"], {})
        return msgspec.convert(row, Moment)

    async def _plan(self, moment: Moment, file: PlanFile, *, full: bool, force: bool) -> Plan:
        if not force:
            await rails.check(self._postgres, self._vectors, live=moment.live, stored=moment.stored)
        since = None if full else await self._compared_until(moment.now)
        context = Context(self._postgres, self._vectors, self._settings, moment, since)
        return await plan.make(context, file)

    async def _compared_until(self, now: datetime) -> datetime | None:
        """Until when all are compared; not believed after a change of setting or a clock's step."""
        for row in await self._postgres.fetch(_QUERIES["last_compared"], {}):
            same = row["compared_similarity"] == self._settings.duplicate_similarity
            if same and row["compared_until"] <= now:
                return msgspec.convert(row["compared_until"], datetime)
        return None

    async def _start(self, kind: str, undoes: int | None, forced: bool) -> int:
        values = {"kind": kind, "undoes": undoes, "forced": forced}
        async with self._postgres.transaction() as conn:
            row = await (await conn.execute(_QUERIES["start_run"], values)).fetchone()
        return int((row or {})["id"])

    async def _finish(
        self,
        run: int,
        result: Result,
        moment: Moment,
        report: Report | Undone | dict[str, Any],
        made: Plan | None,
    ) -> int:
        compared = made.compared_until if made is not None else None
        values = {
            "id": run,
            "result": result,
            "live_before": moment.live,
            "report": Jsonb(msgspec.to_builtins(report)),
            "compared_until": compared,
            "compared_similarity": compared and self._settings.duplicate_similarity,
        }
        async with self._postgres.transaction() as conn:
            row = await (await conn.execute(_QUERIES["finish_run"], values)).fetchone()
            if made is not None:
                for name, tier in made.tiers.items():
                    await totals.add(conn, "seconds", name, tier.seconds)
                    await totals.add(conn, "passes", name, 1)
            if not isinstance(report, Undone):
                await totals.add(conn, "runs", result, 1)
        return int((row or {})["live_after"])

    async def _give_up(self, run: int, moment: Moment, exc: BaseException) -> None:
        """Record that a run failed or was refused, if PostgreSQL still answers."""
        result: Result = "refused" if isinstance(exc, rails.RefusedError) else "failed"
        told = exc.detail if isinstance(exc, AistackError) else type(exc).__name__
        try:
            await self._finish(run, result, moment, {"error": told}, None)
        except AistackError as late:
            log.warning("the end of run %d could not be recorded: %s", run, late.detail)
