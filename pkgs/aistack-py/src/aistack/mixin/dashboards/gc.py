"""Garbage collection."""

from aistack.mixin.dashboards.frame import DAY, GC_RUNS, SERVICES, showing
from aistack.mixin.dashboards.model import GOOD_IS_ONE, Dashboard, Query, Row, rising
from aistack.mixin.dashboards.panels import bars, graph, stat
from aistack.mixin.dashboards.promql import age, chosen, stored, stored_in

_DELETED = "hybrid_gc_solutions_deleted_total"
_RUNS = "hybrid_gc_runs_total"
_SECONDS = "hybrid_gc_execution_seconds"
_BAD_RUN = 'result=~"failed|killed|refused"'
_JOB = 'job_name=~"gc.*"'

_NOW = Row(
    "Now",
    (
        stat(
            "Last good run",
            "Time since a run ended well. It runs every night.",
            "s",
            age("hybrid_gc_last_success_timestamp"),
            steps=rising(1.5 * DAY, 3 * DAY),
        ),
        stat(
            "Taken in 24 hours",
            "Solutions that were put into the trash, and points of the index without a document.",
            "short",
            f"sum({stored_in('1d', _DELETED, by='reason')})",
        ),
        stat(
            "In the trash",
            "Solutions that `aistack gc undo` can still bring back.",
            "short",
            stored("hybrid_gc_trash_solutions"),
        ),
        stat(
            "Store",
            "What solutions take in PostgreSQL, indexes included.",
            "bytes",
            stored("hybrid_gc_storage_bytes"),
        ),
        stat(
            "Bad runs in 7 days",
            "Runs that failed, were killed, or refused because PostgreSQL did not look whole.",
            "short",
            f"sum({stored_in('7d', _RUNS, by='result', where=_BAD_RUN)})",
            steps=rising(1, 3),
        ),
        stat(
            "Totals readable",
            "Whether the last try to read these numbers from PostgreSQL worked; if not, they "
            "are those of before.",
            "none",
            f"min({chosen('hybrid_gc_metrics_readable')})",
            words=GOOD_IS_ONE,
        ),
    ),
)

_TAKEN = Row(
    "What was taken",
    (
        graph(
            "Taken by reason",
            "Solutions of the last 24 hours, in each moment, by why they were taken.",
            "short",
            Query(stored_in("1d", _DELETED, by="reason"), "{{reason}}"),
            stacked=True,
            width=12,
        ),
        bars(
            "Taken so far",
            "All that was ever taken, by reason.",
            "short",
            Query(stored(_DELETED, by="reason"), "{{reason}}"),
            width=6,
        ),
        graph(
            "Brought back",
            "Solutions that `aistack gc undo` brought back, in the last 7 days.",
            "short",
            Query(stored_in("7d", "hybrid_gc_solutions_restored_total"), "restored"),
            width=6,
        ),
        graph(
            "Store over time",
            "What solutions take in PostgreSQL. It grows with what is learned and should level "
            "off.",
            "bytes",
            Query(stored("hybrid_gc_storage_bytes"), "store"),
            width=12,
        ),
        graph(
            "Trash over time",
            "Solutions in the trash; they leave it after 7 days.",
            "short",
            Query(stored("hybrid_gc_trash_solutions"), "trash"),
            width=12,
        ),
        graph(
            "Swept by kind",
            "Rows of the last 24 hours, in each moment, that went for their age alone: the trash, "
            "interactions, histories, and what belonged to indexes and texts that are gone.",
            "short",
            Query(stored_in("1d", "hybrid_gc_swept_total", by="kind"), "{{kind}}"),
            stacked=True,
            width=24,
        ),
    ),
)

_RUN = Row(
    "Runs",
    (
        bars(
            "Runs by result",
            "Runs of the last 30 days. Partial: something, such as the index, was away.",
            "short",
            Query(stored_in("30d", _RUNS, by="result"), "{{result}}"),
        ),
        bars(
            "Time of each tier",
            "Seconds that planning a tier takes, on average of all runs.",
            "s",
            Query(
                f"max by (tier) ({chosen(f'{_SECONDS}_sum')} / {chosen(f'{_SECONDS}_count')})",
                "{{tier}}",
            ),
        ),
        graph(
            "Jobs that ended",
            "Runs and undos of the last 24 hours by their outcome.",
            "short",
            Query(
                stored_in("1d", "aistack_job_runs_total", by="job_name, outcome", where=_JOB),
                "{{job_name}} {{outcome}}",
            ),
        ),
    ),
)

GC = Dashboard(
    uid="aistack-gc",
    title="aistack / Garbage collection",
    about="What was taken from the learned solutions, why, and whether the nightly run works.",
    labels=SERVICES,
    runbook="gc.md",
    annotations=showing(GC_RUNS),
    rows=(_NOW, _TAKEN, _RUN),
)
