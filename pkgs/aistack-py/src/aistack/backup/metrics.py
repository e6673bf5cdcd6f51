"""Metrics of backups: their jobs end before they could be scraped, PostgreSQL keeps them."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from aistack.backup.status import Status, last_success, look
from aistack.backup.store import Memory
from aistack.monitoring.stored import StoredMetrics
from aistack.settings.schema import Backup
from aistack.stores.postgres import Postgres

_NAMES = {"postgresql": "postgres", "index": "qdrant", "logical": "logical"}


class BackupMetrics(StoredMetrics[Status | None]):
    """When each part was last safe, how large and slow it was, and what the drills found."""

    readable = ("aistack_backup_metrics_readable", "Whether the last try to read them worked")
    what = "the state of backups"

    def __init__(self, settings: Backup, postgres: Postgres) -> None:
        super().__init__()
        self._settings = settings
        self._memory = Memory(postgres)

    async def read(self) -> Status | None:
        """What PostgreSQL remembers; it is not asked where there are no backups."""
        return await look(self._settings, self._memory) if self._settings.repositories else None

    def families(self, found: Status | None) -> Iterator[Metric]:
        """As metrics; what never was is 0 where that is a time, and absent else."""
        if found is None:
            return
        for part, name in _NAMES.items():
            at = last_success(found, part)
            yield GaugeMetricFamily(
                f"{name}_backup_last_success_timestamp",
                "End of the last backup that reached a repository, since 1970; 0: never",
                value=at.timestamp() if at else 0.0,
            )
            state = GaugeMetricFamily(
                f"{name}_backup_status", "Whether the last try worked", labels=["repository"]
            )
            size = GaugeMetricFamily(
                f"{name}_backup_size_bytes", "What the last one added", labels=["repository"]
            )
            seconds = GaugeMetricFamily(
                f"{name}_backup_duration_seconds", "Time of the last one", labels=["repository"]
            )
            for one in found.parts:
                if one.part == part:
                    state.add_metric([one.repository], float(one.state == "ok"))
                    size.add_metric([one.repository], one.bytes)
                    seconds.add_metric([one.repository], one.seconds)
            yield from (state, size, seconds)
        yield from self._repositories(found)
        yield from _drills(found)
        if found.archive_lag_s is not None:
            yield GaugeMetricFamily(
                "aistack_wal_archive_lag_seconds",
                "How long whole WAL segments have waited to be in every repository",
                value=found.archive_lag_s,
            )

    def _repositories(self, found: Status) -> Iterator[Metric]:
        known = {one.name: one for one in found.repositories}
        free = GaugeMetricFamily(
            "aistack_backup_repository_free_bytes", "Free space when last seen",
            labels=["repository"],
        )  # fmt: skip
        verified = GaugeMetricFamily(
            "aistack_backup_verified_timestamp", "Last time that all was read back and right",
            labels=["repository"],
        )  # fmt: skip
        sound = GaugeMetricFamily(
            "aistack_backup_verify_status", "Whether the last verification found no fault",
            labels=["repository"],
        )  # fmt: skip
        for name in self._settings.repositories:
            one = known.get(name)
            at = one.verified_at if one else None
            verified.add_metric([name], at.timestamp() if at else 0.0)
            if one and one.free_bytes is not None:
                free.add_metric([name], one.free_bytes)
            if one and one.verify_ok is not None:
                sound.add_metric([name], float(one.verify_ok))
        yield from (free, verified, sound)


def _drills(found: Status) -> Iterator[Metric]:
    at = found.last_good_drill
    yield GaugeMetricFamily(
        "aistack_backup_drill_last_success_timestamp",
        "End of the last drill that went well, since 1970; 0: never",
        value=at.timestamp() if at else 0.0,
    )
    if found.last_drill is not None:
        yield GaugeMetricFamily(
            "aistack_backup_drill_status", "Whether the last drill went well",
            value=float(found.last_drill.ok),
        )  # fmt: skip
    if found.rto_s is not None:
        yield GaugeMetricFamily(
            "aistack_backup_drill_rto_seconds", "Until a restored PostgreSQL answered",
            value=found.rto_s,
        )  # fmt: skip
    if found.rpo_s is not None:
        yield GaugeMetricFamily(
            "aistack_backup_drill_rpo_seconds", "Writes that were not safe when a drill began",
            value=found.rpo_s,
        )  # fmt: skip
