"""Metrics of one-shot jobs, and of the renewal of the certificate, which is one."""

from aistack.monitoring.contract.spec import CounterSpec, GaugeSpec, Label, Part

# Not "job": that is Prometheus' own name for what it scrapes.
_JOB = Label(
    "job_name",
    (
        "reindex",
        "migrate",
        "ingest",
        "gc",
        "gc_undo",
        "tls_renew",
        "tls_deploy",
        "backup",
        "backup_expire",
        "backup_verify",
        "backup_drill",
    ),
)

STARTS = CounterSpec(
    "aistack_job_starts_total",
    "Runs that were started; those without outcome were killed",
    (_JOB,),
)
RUNS = CounterSpec(
    "aistack_job_runs_total",
    "Runs that ended, by outcome",
    (_JOB, Label("outcome", ("ok", "failed"))),
)
LAST_SUCCESS = GaugeSpec(
    "aistack_job_last_success_timestamp_seconds", "End of the last run that worked", (_JOB,)
)
LAST_FAILURE = GaugeSpec(
    "aistack_job_last_failure_timestamp_seconds", "End of the last run that failed", (_JOB,)
)
READABLE = GaugeSpec(
    "aistack_job_ledger_readable", "Whether the last try to read the job ledger worked"
)
RENEWAL_FAILURES = CounterSpec(
    "aistack_tls_renewal_failures_total",
    "Renewals of the certificate that failed",
    when="from the first renewal on",
)
RENEWAL_SUCCESS = GaugeSpec(
    "aistack_tls_renewal_last_success_timestamp",
    "When the certificate was last renewed, or seen not to be due",
    when="from the first renewal that worked on",
)

PART = Part(
    "Jobs",
    "Of the one-shot jobs of all hosts, from PostgreSQL and at most 10 seconds old, so they "
    "outlive the run and the machine. While PostgreSQL does not answer, the last values stay. A "
    "job that never ran has no series.",
    (STARTS, RUNS, LAST_SUCCESS, LAST_FAILURE, READABLE, RENEWAL_FAILURES, RENEWAL_SUCCESS),
)
