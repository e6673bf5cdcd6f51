"""The host as this process can see it: services, units, jobs, ports, certificates, disks."""

from __future__ import annotations

from starlette.responses import Response

from aistack.api.console.render import live_page
from aistack.api.console.timeline import timeline
from aistack.api.console.visit import Live, Page, Values, Visit

_ENTRIES = 100


async def load(visit: Visit) -> Values:
    """The last look at the host."""
    return {"findings": await visit.state.host()}


async def show(visit: Visit) -> Response:
    """The page."""
    return live_page(visit, LIVE, await load(visit))


async def load_history(visit: Visit) -> Values:
    """More of the time line."""
    return {"entries": await timeline(visit, _ENTRIES)}


async def show_history(visit: Visit) -> Response:
    """What happened lately."""
    return live_page(visit, HISTORY, await load_history(visit))


LIVE = Live(name="host", load=load, parts=("findings",))
HISTORY = Live(name="history", load=load_history, parts=("events",))
PAGES = (Page("GET", "/console/host", show), Page("GET", "/console/history", show_history))
