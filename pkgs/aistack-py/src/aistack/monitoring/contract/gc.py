"""Metrics of garbage collection."""

from aistack.monitoring.contract.spec import CounterSpec, GaugeSpec, Label, Part, SummarySpec

DELETED = CounterSpec(
    "hybrid_gc_solutions_deleted_total",
    "Solutions that were put into the trash, by reason; orphan: points of the index",
    (Label("reason", ("orphan", "expired", "too_old", "duplicate", "low_value")),),
)
RESTORED = CounterSpec(
    "hybrid_gc_solutions_restored_total", "Solutions that were brought back from the trash"
)
SWEPT = CounterSpec(
    "hybrid_gc_swept_total",
    "Rows deleted for their age alone; trash: solutions, embeddings: vectors of gone texts",
    (Label("kind", ("trash", "interactions", "outbox", "key_events", "history", "embeddings")),),
)
RUNS = CounterSpec(
    "hybrid_gc_runs_total",
    "Runs by their result; a killed one counts when the next begins",
    (Label("result", ("ok", "partial", "refused", "failed", "killed")),),
)
SECONDS = SummarySpec(
    "hybrid_gc_execution_seconds",
    "Time to plan a tier",
    (Label("tier", ("orphans", "expired", "duplicates", "low_value")),),
)
STORAGE = GaugeSpec(
    "hybrid_gc_storage_bytes", "What solutions take in PostgreSQL, indexes included"
)
TRASH = GaugeSpec("hybrid_gc_trash_solutions", "Solutions in the trash")
LAST_SUCCESS = GaugeSpec(
    "hybrid_gc_last_success_timestamp",
    "End of the last run that ended ok",
    when="from the first such run on",
)
READABLE = GaugeSpec(
    "hybrid_gc_metrics_readable",
    "Whether the last try to read the totals of garbage collection worked",
)

PART = Part(
    "Garbage collection",
    "From PostgreSQL as those of jobs.",
    (DELETED, RESTORED, SWEPT, RUNS, SECONDS, STORAGE, TRASH, LAST_SUCCESS, READABLE),
)
