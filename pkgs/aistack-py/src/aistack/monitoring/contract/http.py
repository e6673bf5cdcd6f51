"""Metrics of requests, and of the pool of connections that they share."""

from aistack.monitoring.contract.spec import (
    CounterSpec,
    GaugeSpec,
    HistogramSpec,
    Label,
    Part,
)

_METHOD = Label("method", bound="the methods of the routes; `-` is any other request")
_ROUTE = Label("route", bound="the routes; `-` is any other request")

REQUESTS = CounterSpec(
    "aidb_http_requests_total",
    "Requests by route and status",
    (_METHOD, _ROUTE, Label("status", bound="the status codes that the service answers with")),
)
REQUEST_SECONDS = HistogramSpec(
    "aidb_http_request_duration_seconds",
    "Time from request to answer",
    (_METHOD, _ROUTE),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
POOL_CONNECTIONS = GaugeSpec(
    "aidb_postgres_pool_connections",
    "Connections of the pool by state",
    (Label("state", ("idle", "in_use")),),
    of_workers="livesum",
)
POOL_WAITING = GaugeSpec(
    "aidb_postgres_pool_waiting", "Requests that wait for a connection", of_workers="livesum"
)
POOL_WAIT_SECONDS = HistogramSpec(
    "aidb_postgres_pool_wait_seconds",
    "Time until a connection was free",
    buckets=(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0),
)

PART = Part(
    "Requests",
    "Of both services, whose names begin alike: `job` tells them apart.",
    (REQUESTS, REQUEST_SECONDS, POOL_CONNECTIONS, POOL_WAITING, POOL_WAIT_SECONDS),
)
