"""The values of garbage collection."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct, field

from aistack.coordinator.trash import Seen

Tier = Literal["orphans", "expired", "duplicates", "low_value"]
TIERS: tuple[Tier, ...] = ("orphans", "expired", "duplicates", "low_value")
"""In the order of a run."""
Action = Literal["discard", "drop_point", "reindex_document", "make_searchable"]
Reason = Literal["orphan", "expired", "too_old", "duplicate", "low_value"]
Result = Literal["ok", "partial", "refused", "failed", "killed"]
"""``partial``: a tier could not work; ``killed``: the process ended without a word."""


SweepKind = Literal["trash", "interactions", "outbox", "key_events", "history", "embeddings"]


class Step(Struct, frozen=True, kw_only=True):
    """One thing to do, with what speaks for it."""

    tier: Tier
    action: Action
    subject: UUID
    """A solution, a point of the index, or a document."""
    reason: str
    evidence: dict[str, Any]
    """What was measured, as plain values."""
    seen: Seen | None = None
    """Of a solution that goes: its state when it was judged."""
    keeper: UUID | None = None
    """Of a duplicate: the solution that stays."""
    index: str | None = None
    """Of a point: the index that it lies in."""


class TierReport(Struct, kw_only=True):
    """What a tier found."""

    discards: int = 0
    """Solutions that go."""
    points: int = 0
    """Points of the index that go."""
    reindexed: int = 0
    """Documents and solutions that come back to the index."""
    held_back: int = 0
    """Solutions and points that could go, but not in this run; of duplicates: at least so many."""
    foreign: int = 0
    """Points that nothing of ours wrote, or of unknown age: left alone."""
    seconds: float = 0.0
    skipped: str | None = None
    """Why the tier did not work."""


class Sweep(Struct, frozen=True):
    """Rows that are simply old."""

    kind: SweepKind
    older_than_days: int
    rows: int


class Plan(Struct, kw_only=True):
    """What a run would do; its steps are in a file."""

    planned_at: datetime
    live: int
    pinned: int
    tiers: dict[str, TierReport] = field(default_factory=dict)
    sweeps: list[Sweep] = field(default_factory=list)
    compared_until: datetime | None = None
    """Set where all new solutions were compared for duplicates."""
    warnings: list[str] = field(default_factory=list)


class Report(Struct, kw_only=True):
    """What a run did."""

    run: int
    result: Result
    tiers: dict[str, TierReport]
    sweeps: list[Sweep]
    unchanged: int
    """Steps that were left out: what they were about had changed since it was judged."""
    live_before: int
    live_after: int
    warnings: list[str]


class Undone(Struct, kw_only=True):
    """What an undo did."""

    run: int
    undoes: int
    restored: int
    refused: int
    """Solutions whose text the settings refuse by now; they stay in the trash."""


class RunInfo(Struct, frozen=True, kw_only=True):
    """A run in the history."""

    id: int
    kind: Literal["run", "undo"]
    undoes: int | None
    started_at: datetime
    finished_at: datetime | None
    result: Literal["ok", "partial", "refused", "failed", "killed", "running"]
    forced: bool
    live_before: int | None
    live_after: int | None
    deleted: int
    restored: int
    report: dict[str, Any]


class Deletion(Struct, frozen=True, kw_only=True):
    """What a run took away, and why."""

    run: int
    subject: UUID
    reason: str
    evidence: dict[str, Any]
    keeper: UUID | None
    at: datetime
    restored_at: datetime | None


class Status(Struct, frozen=True, kw_only=True):
    """The store as garbage collection sees it."""

    solutions: int
    max_solutions: int
    pinned: int
    in_trash: int
    storage_bytes: int
    running: bool
    last_run: RunInfo | None
    last_success_at: datetime | None
