"""Backups: the last runs, what each repository holds, and what a drill has proved."""

from __future__ import annotations

from starlette.responses import Response

from aistack.api.console.render import live_page
from aistack.api.console.visit import Live, Page, Values, Visit
from aistack.backup import status
from aistack.backup.store import Memory

_RUNS = 20


async def load(visit: Visit) -> Values:
    """What PostgreSQL remembers of backups."""
    memory = Memory(visit.stack.postgres)
    settings = visit.stack.settings.backup
    return {
        "repositories": settings.repositories,
        "backups": await status.look(settings, memory),
        "exposed_s": await memory.exposed_s() if settings.repositories else None,
        "runs": await memory.runs(_RUNS),
    }


async def show(visit: Visit) -> Response:
    """The page."""
    return live_page(visit, LIVE, await load(visit))


LIVE = Live(name="backups", load=load, parts=("promise", "places", "backup_runs"))
PAGES = (Page("GET", "/console/backups", show),)
