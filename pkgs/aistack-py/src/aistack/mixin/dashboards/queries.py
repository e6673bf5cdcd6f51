"""Every query as a server can be asked: with values in place of Grafana's variables."""

import re

from msgspec import Struct

from aistack.mixin.dashboards import DASHBOARDS
from aistack.mixin.dashboards.exceptions import WITHOUT_DATA
from aistack.mixin.dashboards.model import Dashboard, Kind

_ALWAYS = {
    "__rate_interval": "1m",
    "__interval": "15s",
    "__auto": "1m",
    "__range": "1h",
}
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class Asked(Struct, frozen=True):
    """A query of a panel."""

    dashboard: str
    panel: str
    kind: Kind
    expr: str
    without_data: str | None
    """Why a test can have no series for it; None: it must have one."""


def queries() -> list[Asked]:
    """Those of all panels, with everything chosen that there is to choose."""
    return [
        Asked(
            one.uid,
            panel.title,
            query.kind,
            filled(one, one.whole(query)),
            WITHOUT_DATA.get((one.uid, panel.title)),
        )
        for one in DASHBOARDS
        for panel in one.panels()
        for query in panel.queries
    ]


def filled(dashboard: Dashboard, expr: str) -> str:
    """A query with values in place of Grafana's variables.

    Raises:
        KeyError: neither Grafana nor the dashboard has such a variable.
    """
    chosen = {one.name: one.everything if one.values else "" for one in dashboard.variables}
    known = _ALWAYS | chosen
    return _VARIABLE.sub(lambda found: known[found[1] or found[2]], expr)
