"""The monitoring itself: who watches is watched."""

from aistack.mixin.dashboards.frame import FIRING, showing
from aistack.mixin.dashboards.model import GOOD_IS_ONE, Dashboard, Query, Row, falling, rising
from aistack.mixin.dashboards.panels import bars, graph, stat, states, table
from aistack.mixin.dashboards.promql import (
    chosen,
    counted_in,
    or_zero,
    per_second,
    quantile,
)

_PROMETHEUS = 'job="aistack-prometheus"'
_ALERTMANAGER = 'job="aistack-alertmanager"'
_GRAFANA = 'job="aistack-grafana"'
_LOKI = 'job="aistack-loki"'
_ALLOY = 'job="aistack-alloy"'
_OURS = 'job=~"aistack-.*"'

_ALERTS = 'max by (alertname, part, severity, alertstate) (ALERTS{part!=""})'


def _rises(metric: str, labels: str, *, by: str = "") -> str:
    summed = f"sum by ({by}) " if by else "sum"
    return f"{summed}(rate({metric}{{{labels}}}[$__rate_interval]))"


_NOW = Row(
    "Now",
    (
        stat(
            "Targets up",
            "Share of our targets whose metrics can be read.",
            "percentunit",
            f"avg(up{{{_OURS}}})",
            steps=falling(1, 0.9),
        ),
        stat(
            "Alerts firing",
            "Alerts of this stack that fire now.",
            "short",
            or_zero(f"count({FIRING})"),
            steps=rising(1, 5),
        ),
        stat(
            "Rules that failed",
            "Evaluations of rules in the last hour that failed.",
            "short",
            counted_in("1h", "prometheus_rule_evaluation_failures_total"),
            steps=rising(1, 10),
        ),
        stat(
            "Alerts not sent",
            "Notifications of the last hour that Prometheus dropped.",
            "short",
            counted_in("1h", "prometheus_notifications_dropped_total"),
            steps=rising(1, 10),
        ),
        stat(
            "Configuration",
            "Whether the last configuration could be loaded.",
            "none",
            f"min({chosen('prometheus_config_last_reload_successful')})",
            words=GOOD_IS_ONE,
        ),
        stat(
            "Series",
            "Series that Prometheus holds in memory.",
            "short",
            f"sum({chosen('prometheus_tsdb_head_series')})",
            steps=rising(200_000, 1_000_000),
        ),
    ),
)

_TARGETS = Row(
    "Targets and alerts",
    (
        states(
            "Targets",
            "Whether each target's metrics can be read.",
            Query(f"min by (job, instance) (up{{{_OURS}}})", "{{job}} {{instance}}"),
            GOOD_IS_ONE,
        ),
        table(
            "Alerts",
            "Alerts that fire or are about to, with their labels.",
            "none",
            Query(or_zero(_ALERTS)),
        ),
        bars(
            "Time of a scrape",
            "How long it takes to read the metrics of each target.",
            "s",
            Query(f"max by (job) (scrape_duration_seconds{{{_OURS}}})", "{{job}}"),
            steps=rising(2, 8),
        ),
        bars(
            "Samples by job",
            "Values that a scrape brings.",
            "short",
            Query(f"sum by (job) (scrape_samples_post_metric_relabeling{{{_OURS}}})", "{{job}}"),
        ),
        graph(
            "New series",
            "Series a scrape that were not there before. A steady stream means "
            "that a label has no bounds.",
            "short",
            Query(f"sum by (job) (scrape_series_added{{{_OURS}}})", "{{job}}"),
        ),
    ),
)

_PROM = Row(
    "Prometheus",
    (
        graph(
            "Samples",
            "Values a second that are stored.",
            "ops",
            Query(per_second("prometheus_tsdb_head_samples_appended_total"), "samples"),
        ),
        graph(
            "Size on disk",
            "Bytes of blocks; the newest hours are in memory and a log, and come later.",
            "bytes",
            Query(f"sum({chosen('prometheus_tsdb_storage_blocks_bytes')})", "blocks"),
        ),
        graph(
            "Series over time",
            "Series in memory.",
            "short",
            Query(f"sum({chosen('prometheus_tsdb_head_series')})", "series"),
        ),
        bars(
            "Time of rules",
            "Seconds that the last evaluation of each group took.",
            "s",
            Query(
                "topk(10, max by (rule_group) "
                f"({chosen('prometheus_rule_group_last_duration_seconds')}))",
                "{{rule_group}}",
            ),
            steps=rising(1, 10),
        ),
        graph(
            "Queries",
            "Time of a request to Prometheus: 19 of 20 took no longer.",
            "s",
            Query(quantile(0.95, "prometheus_http_request_duration_seconds"), "p95"),
        ),
        graph(
            "Memory",
            "Bytes that Prometheus holds in memory.",
            "bytes",
            Query(f"sum({chosen('process_resident_memory_bytes')})", "resident"),
        ),
    ),
)

_OTHERS = Row(
    "Alertmanager, Grafana, Loki and Alloy",
    (
        graph(
            "Notifications",
            "Notifications a second that Alertmanager sent, and that failed.",
            "ops",
            Query(
                _rises("alertmanager_notifications_total", _ALERTMANAGER, by="integration"),
                "{{integration}}",
            ),
            Query(_rises("alertmanager_notifications_failed_total", _ALERTMANAGER), "failed"),
        ),
        graph(
            "Alerts in Alertmanager",
            "Alerts it knows, by their state.",
            "short",
            Query(f"sum by (state) (alertmanager_alerts{{{_ALERTMANAGER}}})", "{{state}}"),
        ),
        graph(
            "Grafana",
            "Requests a second by status.",
            "reqps",
            Query(
                _rises("grafana_http_request_duration_seconds_count", _GRAFANA, by="status_code"),
                "{{status_code}}",
            ),
        ),
        graph(
            "Log lines taken in",
            "Bytes a second that Loki gets.",
            "Bps",
            Query(_rises("loki_distributor_bytes_received_total", _LOKI), "received"),
            width=12,
        ),
        graph(
            "Log lines sent",
            "Lines a second that Alloy read from the journal, and entries "
            "that it lost because Loki did not take them.",
            "ops",
            Query(_rises("loki_source_journal_target_lines_total", _ALLOY), "read"),
            Query(_rises("loki_write_dropped_entries_total", _ALLOY), "lost"),
            width=12,
        ),
    ),
)

MONITORING = Dashboard(
    uid="aistack-monitoring",
    title="aistack / Monitoring",
    about="Whether what watches the stack works: targets, rules, alerts, logs.",
    labels=_PROMETHEUS,
    runbook="monitoring.md",
    annotations=showing(),
    rows=(_NOW, _TARGETS, _PROM, _OTHERS),
)
