"""Redis, by its exporter. It holds the counts of rate limits, nothing that would be missed."""

from aistack.mixin.dashboards.frame import instance, of_job, showing
from aistack.mixin.dashboards.model import GOOD_IS_ONE, Dashboard, Query, Row, rising
from aistack.mixin.dashboards.panels import bars, graph, stat
from aistack.mixin.dashboards.promql import chosen, counted_in, per_second

_JOB = "aistack-redis"
_MEAN = (
    f"{per_second('redis_commands_duration_seconds_total', by='cmd')}"
    f" / {per_second('redis_commands_total', by='cmd')}"
)

_NOW = Row(
    "Now",
    (
        stat(
            "Answers",
            "Whether the exporter can ask Redis.",
            "none",
            f"min({chosen('redis_up')})",
            words=GOOD_IS_ONE,
        ),
        stat(
            "Up since",
            "Time since Redis was started.",
            "s",
            f"max({chosen('redis_uptime_in_seconds')})",
        ),
        stat(
            "Clients",
            "Connections of clients.",
            "short",
            f"sum({chosen('redis_connected_clients')})",
        ),
        stat(
            "Memory",
            "Bytes that Redis has taken.",
            "bytes",
            f"sum({chosen('redis_memory_used_bytes')})",
        ),
        stat("Keys", "Entries of all databases.", "short", f"sum({chosen('redis_db_keys')})"),
        stat(
            "Turned away",
            "Connections of the last hour beyond maxclients.",
            "short",
            counted_in("1h", "redis_rejected_connections_total"),
            steps=rising(1, 10),
        ),
    ),
)

_USE = Row(
    "Use",
    (
        graph(
            "Commands",
            "Commands a second by name.",
            "ops",
            Query(per_second("redis_commands_total", by="cmd"), "{{cmd}}"),
            stacked=True,
        ),
        graph(
            "Time of a command",
            "How long Redis itself works on one, on average.",
            "s",
            Query(f"topk(10, {_MEAN})", "{{cmd}}"),
        ),
        graph(
            "Clients over time",
            "Connections, and those that wait for something to come.",
            "short",
            Query(f"sum({chosen('redis_connected_clients')})", "connected"),
            Query(f"sum({chosen('redis_blocked_clients')})", "wait"),
        ),
        graph(
            "Traffic",
            "Bytes a second.",
            "Bps",
            Query(per_second("redis_net_input_bytes_total"), "received"),
            Query(per_second("redis_net_output_bytes_total"), "sent"),
        ),
        graph(
            "Found and not",
            "Look-ups a second.",
            "ops",
            Query(per_second("redis_keyspace_hits_total"), "found"),
            Query(per_second("redis_keyspace_misses_total"), "not found"),
        ),
        bars(
            "Slow commands",
            "Commands in the log of slow ones.",
            "short",
            Query(f"sum by (instance) ({chosen('redis_slowlog_length')})", "{{instance}}"),
            steps=rising(1, 100),
        ),
    ),
)

_MEMORY = Row(
    "Memory and disk",
    (
        graph(
            "Memory over time",
            "Bytes that are used, those the system has given, and the limit (0: none).",
            "bytes",
            Query(f"sum({chosen('redis_memory_used_bytes')})", "used"),
            Query(f"sum({chosen('redis_memory_used_rss_bytes')})", "given"),
            Query(f"sum({chosen('redis_memory_max_bytes')})", "limit"),
        ),
        graph(
            "Entries that went",
            "Entries a second whose time was over, and those thrown out to make room.",
            "ops",
            Query(per_second("redis_expired_keys_total"), "expired"),
            Query(per_second("redis_evicted_keys_total"), "thrown out"),
        ),
        stat(
            "Last save",
            "Time since Redis wrote itself to disk.",
            "s",
            f"time() - max({chosen('redis_rdb_last_save_timestamp_seconds')})",
        ),
        stat(
            "Save went well",
            "Whether the last try to write to disk worked.",
            "none",
            f"min({chosen('redis_rdb_last_bgsave_status')})",
            words=GOOD_IS_ONE,
        ),
    ),
)

REDIS = Dashboard(
    uid="aistack-redis",
    title="aistack / Redis",
    about="The counts of rate limits, shared by all processes.",
    labels=of_job(_JOB),
    runbook="redis.md",
    variables=(instance(_JOB),),
    annotations=showing(),
    rows=(_NOW, _USE, _MEMORY),
)
