"""Grafana's dashboards, made by code: one file a dashboard, in its JSON model."""

from typing import Any

from aistack.mixin.dashboards.aidb import AIDB
from aistack.mixin.dashboards.backups import BACKUPS
from aistack.mixin.dashboards.coordinator import COORDINATOR
from aistack.mixin.dashboards.gc import GC
from aistack.mixin.dashboards.grafana import model
from aistack.mixin.dashboards.guards import GUARDS
from aistack.mixin.dashboards.health import HEALTH
from aistack.mixin.dashboards.host import HOST
from aistack.mixin.dashboards.issues import ISSUES
from aistack.mixin.dashboards.logs import LOGS
from aistack.mixin.dashboards.monitoring import MONITORING
from aistack.mixin.dashboards.nginx import NGINX
from aistack.mixin.dashboards.overview import OVERVIEW
from aistack.mixin.dashboards.postgresql import POSTGRESQL
from aistack.mixin.dashboards.qdrant import QDRANT
from aistack.mixin.dashboards.redis import REDIS
from aistack.mixin.runbooks import Runbooks

DASHBOARDS = (
    OVERVIEW, AIDB, COORDINATOR, GUARDS, GC, BACKUPS, HEALTH, ISSUES, HOST, POSTGRESQL, REDIS,
    QDRANT, NGINX, MONITORING, LOGS,
)  # fmt: skip


def dashboards(runbooks: Runbooks) -> dict[str, dict[str, Any]]:
    """Uid to the dashboard in Grafana's JSON model.

    Args:
        runbooks: where they are to be read.
    """
    return {one.uid: model(one, runbooks) for one in DASHBOARDS}
