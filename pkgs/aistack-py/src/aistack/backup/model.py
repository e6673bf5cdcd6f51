"""The values of backups."""

from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct, field

Type = Literal["full", "diff", "incr"]
"""Of a physical backup: whole, changes since the last whole one, changes since the last one."""
Part = Literal["postgresql", "index", "logical"]
State = Literal["ok", "partial", "failed"]
"""``partial``: PostgreSQL is safe in one repository at least, but not everything is everywhere."""


class TableState(Struct, frozen=True):
    """What a table held."""

    name: str
    rows: int
    digest: str
    """Of all rows, in any order, as hexadecimal digits."""


class Sample(Struct, frozen=True):
    """A search and its exact answer: a restored index must give the same."""

    point: str
    """Whose own vectors are asked for."""
    answer: list[str]
    """The nearest points, best first."""


class CollectionState(Struct, frozen=True):
    """One Qdrant collection in a run."""

    name: str
    points: int
    file: str
    """Name of its snapshot within the run's files."""
    bytes: int
    sha256: str
    samples: list[Sample] = []
    schema: dict[str, Any] = {}
    """In Qdrant's own words: its snapshots fit one minor version only, these are for people."""


class Moment(Struct, frozen=True):
    """A point in the WAL to which PostgreSQL can be restored, and what it held there."""

    name: str
    """Of the restore point."""
    lsn: str
    at: datetime
    exact: bool
    """Whether ``tables`` is of this very moment; not where a long write would not let us look."""
    tables: list[TableState]


class RunRecord(Struct, frozen=True, kw_only=True):
    """What one run backed up; it lies, encrypted, in every repository beside the backup."""

    id: str
    host: str
    started_at: datetime
    generation: str | None
    """The NixOS generation that ran, as in ``system-42-link``."""
    versions: dict[str, str]
    moment: Moment
    collections: list[CollectionState]
    aliases: dict[str, str]
    backups: dict[str, str]
    """Repository to the label of its physical backup."""


class Outcome(Struct, frozen=True):
    """How one part of a run went in one repository."""

    repository: str
    part: Part
    state: Literal["ok", "failed", "skipped"]
    id: str | None = None
    """pgBackRest's label or restic's snapshot."""
    bytes: int = 0
    """What it added to the repository."""
    seconds: float = 0.0
    error: str | None = None


class RunReport(Struct, frozen=True, kw_only=True):
    """A run as it ended."""

    id: str
    type: Type
    state: State
    started_at: datetime
    finished_at: datetime
    outcomes: list[Outcome]
    restorable: bool
    """Whether a restore by ``--run`` can find it: its restore point is safe."""


class Physical(Struct, frozen=True):
    """A physical backup that a repository holds."""

    label: str
    type: Type
    started_at: datetime
    finished_at: datetime
    last_lsn: str
    first_wal: str
    """The first WAL segment without which it is not whole, and the last."""
    last_wal: str
    needs: str | None
    """The backup that this one builds on."""
    bytes: int
    added_bytes: int
    error: bool
    run: str | None
    server: str = ""
    """Major version of PostgreSQL, as in 17."""
    archive: str = ""
    """Its cluster's WAL, as in 17-1: after an upgrade there is another."""


class Kept(Struct, frozen=True):
    """A restic snapshot that a repository holds."""

    id: str
    at: datetime
    part: Part
    run: str


class Contents(Struct, frozen=True):
    """All that a repository holds of us."""

    repository: str
    physical: list[Physical] = field(default_factory=list)
    """Oldest first."""
    kept: list[Kept] = field(default_factory=list)
    last_wal: str | None = None
    """The newest WAL segment."""


def run_id(now: datetime, nonce: str) -> str:
    """A name that sorts by time and fits a restore point: 20261123T020000Z-1a2b."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{nonce}"
