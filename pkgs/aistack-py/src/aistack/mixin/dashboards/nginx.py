"""The way in: nginx, and the balancer before several instances."""

from aistack.mixin.dashboards.frame import instance, of_job, showing
from aistack.mixin.dashboards.model import GOOD_IS_ONE, Dashboard, Query, Row, rising
from aistack.mixin.dashboards.panels import bars, graph, stat, states
from aistack.mixin.dashboards.promql import chosen, counted_in, per_second

_JOB = "aistack-nginx"
_BALANCER = 'job="aistack-balancer",proxy="aidb"'
_UP = ',state="UP"'
_STATES = ("reading", "writing", "waiting")


def _balancer(metric: str, more: str = "") -> str:
    return f"haproxy_{metric}{{{_BALANCER}{more}}}"


def _balancer_rate(metric: str, by: str = "") -> str:
    summed = f"sum by ({by}) " if by else "sum"
    return f"{summed}(rate({_balancer(metric)}[$__rate_interval]))"


_NOW = Row(
    "Now",
    (
        stat(
            "Answers",
            "Whether the exporter can ask nginx.",
            "none",
            f"min({chosen('nginx_up')})",
            words=GOOD_IS_ONE,
        ),
        stat(
            "Requests",
            "Requests a second to all of nginx's hosts.",
            "reqps",
            per_second("nginx_http_requests_total"),
        ),
        stat(
            "Connections",
            "Connections that are open now.",
            "short",
            f"sum({chosen('nginx_connections_active')})",
        ),
        stat(
            "Dropped",
            "Connections of the last hour that nginx took and could not serve.",
            "short",
            f"{counted_in('1h', 'nginx_connections_accepted')}"
            f" - {counted_in('1h', 'nginx_connections_handled')}",
            steps=rising(1, 100),
        ),
        stat(
            "Instances behind",
            "Instances of AIDB that the balancer sends requests to.",
            "short",
            f"max({_balancer('backend_active_servers')})",
        ),
        stat(
            "Queue",
            "Requests that wait for an instance.",
            "short",
            f"max({_balancer('backend_current_queue')})",
            steps=rising(1, 50),
        ),
    ),
)

_NGINX = Row(
    "nginx",
    (
        graph(
            "Requests over time",
            "Requests a second to all of nginx's hosts.",
            "reqps",
            Query(per_second("nginx_http_requests_total", by="instance"), "{{instance}}"),
        ),
        graph(
            "Connections by state",
            "Reading a request, writing an answer, or waiting for the next request.",
            "short",
            *(Query(f"sum({chosen(f'nginx_connections_{state}')})", state) for state in _STATES),
            stacked=True,
        ),
        graph(
            "New connections",
            "Connections a second. Many more than requests means that clients do not keep them.",
            "ops",
            Query(per_second("nginx_connections_accepted"), "accepted"),
            Query(per_second("nginx_connections_handled"), "handled"),
        ),
    ),
)

_BALANCED = Row(
    "Balancer (with several instances of AIDB)",
    (
        states(
            "Instances",
            "Whether the balancer sends requests to each instance.",
            Query(f"max by (server) ({_balancer('server_status', _UP)})", "{{server}}"),
            GOOD_IS_ONE,
        ),
        graph(
            "Answers by class",
            "Answers a second by the first digit of their status.",
            "reqps",
            Query(_balancer_rate("backend_http_responses_total", by="code"), "{{code}}"),
            stacked=True,
            width=12,
        ),
        graph(
            "Requests by instance",
            "Requests a second that each got; they should be alike.",
            "reqps",
            Query(_balancer_rate("server_http_responses_total", by="server"), "{{server}}"),
        ),
        graph(
            "Requests that waited",
            "Requests that wait for an instance to have room.",
            "short",
            Query(f"max({_balancer('backend_current_queue')})", "waiting"),
        ),
        graph(
            "Tried again",
            "Requests a second that were sent once more, to the same or another instance, "
            "and connections that failed.",
            "ops",
            Query(_balancer_rate("backend_retry_warnings_total"), "again"),
            Query(_balancer_rate("backend_redispatch_warnings_total"), "to another"),
            Query(_balancer_rate("backend_connection_errors_total"), "no connection"),
        ),
        graph(
            "Time of an instance",
            "From a request to the begin of its answer, on average of the last 1024.",
            "s",
            Query(
                f"max by (server) ({_balancer('server_response_time_average_seconds')})",
                "{{server}}",
            ),
        ),
        bars(
            "Failed checks",
            "Checks of readiness that failed since the balancer's start.",
            "short",
            Query(f"max by (server) ({_balancer('server_check_failures_total')})", "{{server}}"),
        ),
        bars(
            "Times down",
            "How often each instance was taken out since the balancer's start.",
            "short",
            Query(f"max by (server) ({_balancer('server_check_up_down_total')})", "{{server}}"),
        ),
    ),
)

NGINX = Dashboard(
    uid="aistack-nginx",
    title="aistack / nginx and balancer",
    about="The way in: connections and requests, and how they are spread over instances.",
    labels=of_job(_JOB),
    runbook="nginx.md",
    variables=(instance(_JOB),),
    annotations=showing(),
    rows=(_NOW, _NGINX, _BALANCED),
)
