"""Metrics of backups: their jobs end before they could be scraped, PostgreSQL keeps them."""

from collections.abc import Iterator

from prometheus_client import Metric

from aistack.backup.status import Status, last_success, look
from aistack.backup.store import Memory
from aistack.monitoring.contract import backup
from aistack.monitoring.stored import StoredMetrics
from aistack.settings.schema import Backup
from aistack.stores.postgres import Postgres


class BackupMetrics(StoredMetrics[Status | None]):
    """When each part was last safe, how large and slow it was, and what the drills found."""

    readable = backup.READABLE
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
        for part, specs in backup.PARTS.items():
            at = last_success(found, part)
            yield specs.last_success.family(at.timestamp() if at else 0.0)
            state, size, seconds = (
                spec.family() for spec in (specs.status, specs.size, specs.seconds)
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
            yield backup.ARCHIVE_LAG.family(found.archive_lag_s)

    def _repositories(self, found: Status) -> Iterator[Metric]:
        known = {one.name: one for one in found.repositories}
        free, verified = backup.FREE.family(), backup.VERIFIED.family()
        sound = backup.SOUND.family()
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
    yield backup.DRILL_SUCCESS.family(at.timestamp() if at else 0.0)
    if found.last_drill is not None:
        yield backup.DRILL.family(float(found.last_drill.ok))
    if found.rto_s is not None:
        yield backup.RTO.family(found.rto_s)
    if found.rpo_s is not None:
        yield backup.RPO.family(found.rpo_s)
