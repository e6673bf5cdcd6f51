"""The planner: three years day by day, with all that goes wrong in three years."""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from series import Repository, at

from aistack.backup.retention import Backup, Decision, Policy, archive_window

WINDOW = 7
POLICY = Policy(7, 4, 12, WINDOW)
RULES = (("%Y-%m-%d", 7), ("%G-W%V", 4), ("%Y-%m", 12))
SLOTS = 7 + 4 + 12
START = at("2026-01-01")
DAYS = 3 * 365
SEEDS = range(int(os.environ.get("AISTACK_RETENTION_SEEDS", "2")))


@dataclass
class World:
    """A host that takes backups, and what it took."""

    kind: str
    chance: random.Random
    repository: Repository = field(default_factory=lambda: Repository(POLICY))
    newest: dict[str, dict[str, dict[str, Backup]]] = field(
        default_factory=lambda: {f: {} for f, _ in RULES}
    )
    """By rule, bucket and cluster: the newest ever taken, good with what they need."""
    cluster: int = 1
    depths: dict[str, int] = field(default_factory=dict)
    """How many backups a backup is made of, itself included."""
    bad: set[str] = field(default_factory=set)
    skew: timedelta = timedelta()

    def times(self) -> Iterator[datetime]:
        """The hours of backups, by a perfect clock: one to five a day, and days without."""
        off_until = 0
        for day in range(DAYS):
            if self.chance.random() < 0.01:
                off_until = day + self.chance.randint(1, 45)
            if day < off_until:
                continue
            for hour in sorted(self.chance.sample(range(24), self.chance.choice([1, 1, 1, 2, 5]))):
                yield START + timedelta(days=day, hours=hour, minutes=self.chance.randrange(60))

    def step_clock(self) -> None:
        """Seldom ahead or behind, by up to two days; then right again."""
        if self.chance.random() < 0.02:
            self.skew = timedelta(minutes=self.chance.randint(-2880, 2880))
        elif self.chance.random() < 0.3:
            self.skew = timedelta()

    def take(self, now: datetime) -> list[Decision]:
        """A full one on Sundays, or where there is none to build on; a tenth is no good."""
        # Seldom PostgreSQL is upgraded: then nothing older can be built on.
        self.cluster += self.chance.random() < 0.004
        own = str(self.cluster)
        there = sorted(self.repository.backups.values(), key=lambda b: b.id)
        there = [b for b in there if b.cluster == own]
        full = [b for b in there if b.needs is None]
        base = None
        if self.kind != "whole" and full and now.weekday() != 6:
            base = (full if self.kind == "diff" else there)[-1].id
        good = self.chance.random() > 0.1
        new = Backup(f"{len(self.depths):05}", now, base, good, cluster=own)
        self.depths[new.id] = self.depths[base] + 1 if base else 1
        if not good or base in self.bad:
            self.bad.add(new.id)
        else:
            for form, _ in RULES:
                newest = self.newest[form].setdefault(format(now, form), {})
                newest[own] = max(newest.get(own, new), new, key=lambda b: (b.taken_at, b.id))
        return self.repository.add(new)

    def check(self, now: datetime, decisions: list[Decision]) -> None:
        """What should be there is there, and not much else."""
        here = self.repository.backups
        for form, slots in RULES:
            for bucket in sorted(self.newest[form], reverse=True)[:slots]:
                for one in self.newest[form][bucket].values():
                    assert one.id in here, f"{bucket} is lost at {now}"
        assert all(b.needs is None or b.needs in here for b in here.values())
        stay = [d.backup for d in decisions if d.keep]
        usual = [b for b in stay if b.taken_at <= now and b.id not in self.bad]
        # One more of each rule, and the first, for each cluster that another took the place of.
        most = SLOTS + 2 + 4 * (len({b.cluster for b in usual}) - 1)
        assert len(usual) <= most * max(self.depths.values())
        base = stay[archive_window(decisions, now, WINDOW) - 1]
        assert base == stay[-1] or base.taken_at <= now - timedelta(days=WINDOW)


@pytest.mark.parametrize("kind", ["whole", "diff", "incr"])
@pytest.mark.parametrize("seed", SEEDS)
def test_three_years(kind, seed) -> None:
    world = World(kind, random.Random(seed))  # noqa: S311
    for time in world.times():
        world.step_clock()
        now = time + world.skew
        world.check(now, world.take(now))
    assert len(world.depths) > 1000


def test_all_slots_are_full_after_three_undisturbed_years() -> None:
    repository = Repository(Policy(7, 4, 12))
    for day in range(DAYS):
        repository.add(Backup(f"{day:05}", START + timedelta(days=day, hours=2)))
        assert len(repository.backups) <= SLOTS
    assert [f"{repository.backups[id_].taken_at:%Y-%m-%d}" for id_ in repository.ids[::-1]] == [
        *("2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30", "2028-05-31", "2028-06-30"),
        *("2028-07-31", "2028-08-31", "2028-09-30", "2028-10-31", "2028-11-30"),
        *("2028-12-10", "2028-12-17"),
        *("2028-12-24", "2028-12-25", "2028-12-26", "2028-12-27", "2028-12-28", "2028-12-29"),
        "2028-12-30",
    ]
