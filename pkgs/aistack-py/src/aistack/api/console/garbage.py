"""Garbage collection: the store, what a run would do now, what runs did, and the way back."""

from __future__ import annotations

import asyncio
from itertools import islice

from starlette.responses import Response

from aistack.api.console.render import live_page, page, see
from aistack.api.console.visit import Live, Page, Values, Visit
from aistack.errors import ConflictError, UnavailableError
from aistack.gc.model import Plan, Step
from aistack.gc.plan import PlanFile
from aistack.gc.rails import RefusedError
from aistack.jobs.ledger import Ledger
from aistack.kit import tasks

_RUNS = 20
_STEPS = 50
_PLAN_S = 20.0
"""Seconds that a plan may take here; on the host it may take all it needs."""
_UNDO_S = 5.0
"""Seconds that a page waits for an undo, which then goes on by itself."""


async def load(visit: Visit) -> Values:
    """The store and the newest runs."""
    collector = visit.stack.collector
    return {
        "status": await collector.status(),
        "runs": await collector.history(limit=_RUNS),
        "rules": visit.stack.settings.gc,
    }


async def show(visit: Visit) -> Response:
    """The page."""
    return live_page(visit, LIVE, await load(visit))


async def plan(visit: Visit) -> Response:
    """Plan now, and show it; nothing is changed."""
    if visit.state.planning.locked():
        raise ConflictError("somebody else has this process plan now; try again in a moment")
    async with visit.state.planning:
        try:
            made, steps = await _plan(visit)
        except RefusedError as exc:
            raise ConflictError(f"a run would refuse: {exc.detail}") from exc
    visit.log("console: garbage collection planned", live=made.live)
    more = sum(report.discards + report.points for report in made.tiers.values()) > len(steps)
    return page(visit, "plan.html", {"plan": made, "steps": steps, "more": more})


async def _plan(visit: Visit) -> tuple[Plan, list[Step]]:
    with PlanFile() as file:
        planning = asyncio.create_task(visit.stack.collector.plan(file), name="console plan")
        try:
            await asyncio.wait([planning], timeout=_PLAN_S)
            if not planning.done():
                raise UnavailableError(
                    f"the plan takes more than {_PLAN_S:.0f} s; aistack gc plan shows it"
                )
            return planning.result(), list(islice(file.steps(), _STEPS))
        finally:
            await tasks.end(planning)


async def undo(visit: Visit) -> Response:
    """Bring back what a run took away; doing it twice is no more."""
    run = visit.path["run"]
    visit.log("console: garbage collection undone", run=run)
    ended = await visit.state.work(_undo(visit, run), _UNDO_S)
    return see("/console/garbage", "undone" if ended else "undoing")


async def _undo(visit: Visit, run: int) -> None:
    async with Ledger(visit.stack.postgres).run("gc_undo") as job:
        done = await visit.stack.collector.undo(run)
        job.detail |= {"undoes": run, "restored": done.restored}
        job.failed = done.refused > 0


LIVE = Live(name="garbage", load=load, parts=("store", "collections"))
PAGES = (
    Page("GET", "/console/garbage", show),
    Page("POST", "/console/garbage/plan", plan),
    Page("POST", "/console/garbage/runs/{run:number}/undo", undo),
)
