"""Metrics of backups."""

from msgspec import Struct

from aistack.monitoring.contract.spec import GaugeSpec, Label, Part, Spec

_REPOSITORY = (Label("repository", bound="the names in `backup.repositories`"),)
_BACKED_UP = "where `backup.repositories` names any"
_DRILLED = "from the first drill on"


class PartSpecs(Struct, frozen=True):
    """What is told of one part of a backup."""

    last_success: GaugeSpec
    status: GaugeSpec
    size: GaugeSpec
    seconds: GaugeSpec

    @property
    def all(self) -> tuple[Spec, ...]:
        """Those, in the order of the reference."""
        return (self.last_success, self.status, self.size, self.seconds)


def _of(prefix: str, what: str) -> PartSpecs:
    return PartSpecs(
        GaugeSpec(
            f"{prefix}_backup_last_success_timestamp",
            f"End of the last backup of {what} that reached a repository; 0: never",
            when=_BACKED_UP,
        ),
        GaugeSpec(
            f"{prefix}_backup_status",
            f"Whether the last try to back up {what} worked",
            _REPOSITORY,
            "from the first backup on",
        ),
        GaugeSpec(
            f"{prefix}_backup_size_bytes",
            f"What the last backup of {what} added",
            _REPOSITORY,
            "from the first backup on",
        ),
        GaugeSpec(
            f"{prefix}_backup_duration_seconds",
            f"Time of the last backup of {what}",
            _REPOSITORY,
            "from the first backup on",
        ),
    )


PARTS = {
    "postgresql": _of("postgres", "PostgreSQL"),
    "index": _of("qdrant", "the index"),
    "logical": _of("logical", "the database as a logical dump"),
}
"""By the name of a backup's part."""

ARCHIVE_LAG = GaugeSpec(
    "aistack_wal_archive_lag_seconds",
    "How long whole WAL segments have waited to be in every repository",
    when="where WAL is archived",
)
FREE = GaugeSpec(
    "aistack_backup_repository_free_bytes",
    "Free space when last seen",
    _REPOSITORY,
    "of repositories in folders",
)
VERIFIED = GaugeSpec(
    "aistack_backup_verified_timestamp",
    "Last time that all was read back and right; 0: never",
    _REPOSITORY,
    _BACKED_UP,
)
SOUND = GaugeSpec(
    "aistack_backup_verify_status",
    "Whether the last verification found no fault",
    _REPOSITORY,
    "from the first verification on",
)
DRILL_SUCCESS = GaugeSpec(
    "aistack_backup_drill_last_success_timestamp",
    "End of the last drill that went well; 0: never",
    when=_BACKED_UP,
)
DRILL = GaugeSpec("aistack_backup_drill_status", "Whether the last drill went well", when=_DRILLED)
RTO = GaugeSpec(
    "aistack_backup_drill_rto_seconds",
    "Time until a restored PostgreSQL answered, in the last drill that went well",
    when=_DRILLED,
)
RPO = GaugeSpec(
    "aistack_backup_drill_rpo_seconds",
    "Time whose writes were not safe yet when that drill began",
    when=_DRILLED,
)
READABLE = GaugeSpec("aistack_backup_metrics_readable", "Whether the last try to read them worked")

PART = Part(
    "Backups",
    "From PostgreSQL as those of jobs.",
    (
        *(spec for part in PARTS.values() for spec in part.all),
        ARCHIVE_LAG,
        FREE,
        VERIFIED,
        SOUND,
        DRILL_SUCCESS,
        DRILL,
        RTO,
        RPO,
        READABLE,
    ),
)
