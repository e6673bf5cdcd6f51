"""PostgreSQL, by its exporter."""

from aistack.mixin.dashboards.frame import instance, of_job, showing
from aistack.mixin.dashboards.model import GOOD_IS_ONE, Dashboard, Query, Row, falling, rising
from aistack.mixin.dashboards.panels import graph, stat, table
from aistack.mixin.dashboards.promql import chosen, counted_in, per_second, ratio

_JOB = "aistack-postgres"
_REAL = 'datname!~"template.*|"'
_BY = "datname"
_HITS = "pg_stat_database_blks_hit"
_READS = "pg_stat_database_blks_read"


def _of_database(metric: str, legend: str = "{{datname}}") -> Query:
    return Query(per_second(f"pg_stat_database_{metric}", by=_BY, where=_REAL), legend)


def _of_tables(metric: str) -> str:
    return f"sum by (relname) ({chosen(f'pg_stat_user_tables_{metric}')})"


_NOW = Row(
    "Now",
    (
        stat(
            "Answers",
            "Whether the exporter can ask PostgreSQL.",
            "none",
            f"min({chosen('pg_up')})",
            words=GOOD_IS_ONE,
        ),
        stat(
            "Transactions",
            "Transactions a second that were kept.",
            "ops",
            per_second("pg_stat_database_xact_commit", where=_REAL),
        ),
        stat(
            "Connections",
            "Share of the connections that are allowed (max_connections).",
            "percentunit",
            f"sum({chosen('pg_stat_activity_count')}) / "
            f"max({chosen('pg_settings_max_connections')})",
            steps=rising(0.7, 0.9),
        ),
        stat(
            "Found in memory",
            "Share of blocks that did not have to be read from disk.",
            "percentunit",
            ratio(
                per_second(_HITS, where=_REAL),
                f"({per_second(_HITS, where=_REAL)} + {per_second(_READS, where=_REAL)})",
            ),
            steps=falling(0.95, 0.8),
        ),
        stat(
            "Longest transaction",
            "Age of the oldest transaction that is open. A long one keeps dead rows.",
            "s",
            f"max({chosen('pg_stat_activity_max_tx_duration')})",
            steps=rising(300, 3600),
        ),
        stat(
            "Size",
            "Of all databases.",
            "bytes",
            f"sum({chosen('pg_database_size_bytes')})",
        ),
    ),
)

_USE = Row(
    "Use",
    (
        graph(
            "Connections by state",
            "An idle one in a transaction holds locks for nothing.",
            "none",
            Query(f"sum by (state) ({chosen('pg_stat_activity_count')})", "{{state}}"),
            stacked=True,
        ),
        graph(
            "Commits", "Transactions a second that were kept.", "ops", _of_database("xact_commit")
        ),
        graph(
            "Rollbacks",
            "Transactions a second that were taken back.",
            "ops",
            _of_database("xact_rollback"),
        ),
        graph(
            "Rows read",
            "Rows a second that queries got. Far more read than given back means that an "
            "index is missing.",
            "ops",
            Query(per_second("pg_stat_database_tup_returned", where=_REAL), "read"),
            Query(per_second("pg_stat_database_tup_fetched", where=_REAL), "by an index"),
        ),
        graph(
            "Rows written",
            "Rows a second by what was done.",
            "ops",
            *(
                Query(per_second(f"pg_stat_database_tup_{done}", where=_REAL), done)
                for done in ("inserted", "updated", "deleted")
            ),
            stacked=True,
        ),
        graph(
            "Blocks",
            "Blocks a second that were in memory, and those that were read from disk.",
            "ops",
            Query(per_second(_HITS, where=_REAL), "in memory"),
            Query(per_second(_READS, where=_REAL), "read"),
        ),
    ),
)

_TROUBLE = Row(
    "Waits and trouble",
    (
        graph(
            "Locks by mode",
            "Locks that are held or waited for.",
            "none",
            Query(f"sum by (mode) ({chosen('pg_locks_count')}) > 0", "{{mode}}"),
        ),
        graph(
            "Deadlocks",
            "Transactions a second that were ended because they waited for each other.",
            "ops",
            _of_database("deadlocks"),
        ),
        graph(
            "Temporary files",
            "Bytes a second that queries wrote because work_mem was too small.",
            "Bps",
            _of_database("temp_bytes"),
        ),
        graph(
            "Archiver",
            "WAL segments of the last hour that were archived, and tries that failed.",
            "short",
            *(
                Query(counted_in("1h", f"pg_stat_archiver_{count}_count"), count)
                for count in ("archived", "failed")
            ),
        ),
        graph(
            "Longest transaction by state",
            "Age of the oldest in each state.",
            "s",
            Query(f"max by (state) ({chosen('pg_stat_activity_max_tx_duration')})", "{{state}}"),
            steps=rising(300, 3600),
        ),
        graph(
            "Conflicts",
            "Queries a second that a standby's recovery ended.",
            "ops",
            _of_database("conflicts"),
        ),
    ),
)

_STORE = Row(
    "Databases and tables",
    (
        graph(
            "Size of databases",
            "Bytes on disk.",
            "bytes",
            Query(f"max by (datname) ({chosen('pg_database_size_bytes', _REAL)})", "{{datname}}"),
        ),
        table(
            "Tables",
            "The tables with most rows: those that live, those that are gone and still take room, "
            "scans of the whole table a second (on a large one an index is missing), and how often "
            "autovacuum went over it.",
            "short",
            Query(_of_tables("n_live_tup"), "Live rows"),
            Query(_of_tables("n_dead_tup"), "Dead rows"),
            Query(per_second("pg_stat_user_tables_seq_scan", by="relname"), "Whole scans a second"),
            Query(_of_tables("autovacuum_count"), "Vacuums"),
            width=16,
        ),
    ),
)

POSTGRESQL = Dashboard(
    uid="aistack-postgresql",
    title="aistack / PostgreSQL",
    about="The database that holds everything: its use, its trouble, its tables.",
    labels=of_job(_JOB),
    runbook="postgresql.md",
    variables=(instance(_JOB),),
    annotations=showing(),
    rows=(_NOW, _USE, _TROUBLE, _STORE),
)
