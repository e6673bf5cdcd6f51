"""What the tiers of one plan share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from uuid import UUID

from msgspec import Struct

from aistack.gc.model import Tier, TierReport
from aistack.knowledge.vectors import Vectors
from aistack.settings.schema import GarbageCollection
from aistack.stores.postgres import Postgres


class Moment(Struct, frozen=True):
    """The store when a plan begins; times are PostgreSQL's, as all that they are compared with."""

    now: datetime
    seen_until: datetime
    """Everything that was learned until then is seen."""
    live: int
    """Solutions outside of the trash."""
    pinned: int
    stored: int
    """All solutions."""


@dataclass
class Context:
    """The stores, the rules, and what is planned so far."""

    postgres: Postgres
    vectors: Vectors
    settings: GarbageCollection
    moment: Moment
    compared_until: datetime | None
    """Solutions learned until then were compared for duplicates before; None: none."""
    reports: dict[Tier, TierReport] = field(default_factory=dict)
    gone: set[UUID] = field(default_factory=set)
    """Solutions that the plan takes away, but for the last tier's."""
    keepers: set[UUID] = field(default_factory=set)
    """Solutions that stay in the place of duplicates."""
    warnings: list[str] = field(default_factory=list)
    finished: datetime | None = None
    """Set by the duplicates: the moment until which all are compared now."""

    @property
    def now(self) -> datetime:
        """When the plan began."""
        return self.moment.now

    @property
    def live(self) -> int:
        """Solutions outside of the trash when it began."""
        return self.moment.live

    @property
    def seed(self) -> int:
        """Of all that is left to chance: the same within a day, another tomorrow."""
        return self.now.toordinal()

    @property
    def allowance(self) -> int:
        """How many solutions may still go for age or as duplicates."""
        return most(self.live, self.settings.max_fraction) - len(self.gone)

    @contextmanager
    def tier(self, name: Tier) -> Iterator[TierReport]:
        """The report of a tier, with the time that the block takes."""
        report = self.reports[name] = TierReport()
        start = perf_counter()
        try:
            yield report
        finally:
            report.seconds = perf_counter() - start


def most(number: int, fraction: float) -> int:
    """The share of a number that may go at once: at least one, lest a small store never shrinks."""
    return max(1, int(number * fraction))
