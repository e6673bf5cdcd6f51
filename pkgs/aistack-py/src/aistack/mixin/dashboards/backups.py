"""Backups: how old, how large, how sure."""

from aistack.mixin.dashboards.frame import BACKUP_RUNS, DAY, HOUR, SERVICES, showing
from aistack.mixin.dashboards.model import GOOD_IS_ONE, Dashboard, Panel, Query, Row, rising
from aistack.mixin.dashboards.panels import bars, graph, stat, states
from aistack.mixin.dashboards.promql import age, chosen, stored, stored_in

_LATE = rising(26 * HOUR, 50 * HOUR)
_PARTS = {"postgres": "PostgreSQL", "qdrant": "index", "logical": "logical dump"}
_JOBS = 'job_name=~"backup.*"'


def _of_each(metric: str) -> tuple[Query, ...]:
    return tuple(
        Query(stored(f"{part}_backup_{metric}", by="repository"), f"{words}, {{{{repository}}}}")
        for part, words in _PARTS.items()
    )


def _age(part: str) -> Panel:
    words = _PARTS[part]
    return stat(
        f"Age: {words}",
        f"Time since a backup of this part ({words}) reached a repository. They run each night; "
        "decades mean never.",
        "s",
        age(f"{part}_backup_last_success_timestamp"),
        steps=_LATE,
    )


_NOW = Row(
    "Now",
    (
        *map(_age, _PARTS),
        stat(
            "WAL not safe since",
            "How long whole segments of the write-ahead log have waited to be in every "
            "repository: what a restore to the last moment would lack.",
            "s",
            stored("aistack_wal_archive_lag_seconds"),
            steps=rising(300, 1800),
        ),
        stat(
            "Last good drill",
            "Time since a restore into scratch servers was compared and found right. "
            "Decades mean never.",
            "s",
            age("aistack_backup_drill_last_success_timestamp"),
            steps=rising(8 * DAY, 15 * DAY),
        ),
        stat(
            "State readable",
            "Whether the last try to read these numbers from PostgreSQL worked; if not, they "
            "are those of before.",
            "none",
            f"min({chosen('aistack_backup_metrics_readable')})",
            words=GOOD_IS_ONE,
        ),
    ),
)

_REPOSITORIES = Row(
    "Repositories",
    (
        states(
            "Last PostgreSQL backup",
            "Whether the last try reached the repository.",
            Query(stored("postgres_backup_status", by="repository"), "{{repository}}"),
            GOOD_IS_ONE,
            width=8,
        ),
        states(
            "Last backup of the index",
            "Whether the last try reached the repository.",
            Query(stored("qdrant_backup_status", by="repository"), "{{repository}}"),
            GOOD_IS_ONE,
            width=8,
        ),
        states(
            "Last verification",
            "Whether reading the repository back found no fault.",
            Query(stored("aistack_backup_verify_status", by="repository"), "{{repository}}"),
            GOOD_IS_ONE,
            width=8,
        ),
        bars(
            "Verified",
            "Time since the repository was read back and no fault found. Decades mean never.",
            "s",
            Query(age("aistack_backup_verified_timestamp", by="repository"), "{{repository}}"),
            steps=rising(8 * DAY, 15 * DAY),
        ),
        graph(
            "Free space",
            "Of repositories that are folders, as it was when last seen.",
            "bytes",
            Query(
                stored("aistack_backup_repository_free_bytes", by="repository"), "{{repository}}"
            ),
            width=16,
        ),
    ),
)

_SIZES = Row(
    "Sizes and times",
    (
        graph(
            "Added by a backup",
            "Bytes that the last backup added to a repository. A sudden change is worth a look.",
            "bytes",
            *_of_each("size_bytes"),
            width=12,
        ),
        graph(
            "Time of a backup",
            "How long the last one took.",
            "s",
            *_of_each("duration_seconds"),
            width=12,
        ),
        graph(
            "WAL that waits",
            "How long whole segments have waited to be in every repository.",
            "s",
            Query(stored("aistack_wal_archive_lag_seconds"), "lag"),
            steps=rising(300, 1800),
            width=12,
        ),
        graph(
            "Runs that ended",
            "Runs of the last 24 hours by their outcome.",
            "short",
            Query(
                stored_in("1d", "aistack_job_runs_total", by="job_name, outcome", where=_JOBS),
                "{{job_name}} {{outcome}}",
            ),
            width=12,
        ),
    ),
)

_DRILLS = Row(
    "Drills",
    (
        stat(
            "Last drill",
            "Whether the last drill could restore and found the same counts and digests.",
            "none",
            stored("aistack_backup_drill_status"),
            words=GOOD_IS_ONE,
            width=6,
        ),
        stat(
            "Time to restore (RTO)",
            "Until a restored PostgreSQL answered, in the last drill that went well.",
            "s",
            stored("aistack_backup_drill_rto_seconds"),
            width=6,
        ),
        stat(
            "Not yet safe (RPO)",
            "Writes that were not safe when the drill began, in time.",
            "s",
            stored("aistack_backup_drill_rpo_seconds"),
            steps=rising(300, 1800),
            width=6,
        ),
        stat(
            "Runs that were killed",
            "Runs of any backup job that began and never told an end. One that is under way "
            "counts, too.",
            "short",
            f"sum({stored('aistack_job_starts_total', by='job_name', where=_JOBS)}) - "
            f"sum({stored('aistack_job_runs_total', by='job_name, outcome', where=_JOBS)})",
            width=6,
        ),
    ),
)

BACKUPS = Dashboard(
    uid="aistack-backups",
    title="aistack / Backups",
    about="How old the backups are, where they are, and whether they can be restored.",
    labels=SERVICES,
    runbook="backups.md",
    annotations=showing(BACKUP_RUNS),
    rows=(_NOW, _REPOSITORIES, _SIZES, _DRILLS),
)
