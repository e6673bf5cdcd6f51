"""Which backups stay: one plan for pgBackRest's and restic's, made of a list and a time alone.

A rule counts the days, ISO weeks or months (UTC) that have a good backup, newest first, and keeps
the newest good one of each; a gap takes no slot. A PostgreSQL cluster that took another's place, as
after an upgrade, cannot replay the other's WAL: where both have a backup in such a day, week or
month, the newest of each stays. restic's `forget --keep-daily --keep-weekly
--keep-monthly` counts in the same way, but by each snapshot's own time zone; it lets snapshots of
the future take slots, knows of no damage, and from 0.16 on also keeps the oldest of all snapshots
while a rule has slots left.

Whatever the rules say, these stay: the newest good one; of the days in which every second is to be
had, those from which the WAL leads on; what a kept one needs, what is pinned, what a clock dated
into the future, and what is damaged while no good one is newer: it may be all that is left of those
days.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

_DAMAGED = "damaged"
_age = attrgetter("taken_at", "id")

_Reasons = defaultdict[str, list[str]]
"""Why a backup stays, by id."""


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup of a repository.

    Attributes:
        id: pgBackRest's label or restic's id; one of its kind in the repository.
        taken_at: when it ended; given with any time zone, held in UTC.
        needs: the one that it builds on directly; None if it is whole in itself.
        good: False if it is known to be damaged or incomplete.
        pinned: whether it stays until somebody says otherwise.
        cluster: whose WAL it is continued by, as in 17-1; the same for all where there is no WAL.

    Raises:
        ValueError: the time has no zone.
    """

    id: str
    taken_at: datetime
    needs: str | None = None
    good: bool = True
    pinned: bool = False
    cluster: str = ""

    def __post_init__(self) -> None:
        if self.taken_at.utcoffset() is None:
            raise ValueError(f"the time of backup {self.id} has no zone")
        object.__setattr__(self, "taken_at", self.taken_at.astimezone(UTC))


@dataclass(frozen=True, slots=True)
class Policy:
    """How many days, ISO weeks and months keep a backup; each counts those that have a good one.

    Attributes:
        any_second_days: how far back every second is to be had; 0: there is no WAL.

    Raises:
        ValueError: a negative number.
    """

    daily: int = 7
    weekly: int = 4
    monthly: int = 12
    any_second_days: int = 0

    def __post_init__(self) -> None:
        if min(self.daily, self.weekly, self.monthly, self.any_second_days) < 0:
            raise ValueError(f"{self} has a number below 0")


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of a backup, and why: all reasons to keep it, or the one to drop it."""

    backup: Backup
    keep: bool
    reasons: tuple[str, ...]


class _Rule(NamedTuple):
    slots: int
    label: str
    """A format of datetime for people."""
    noun: str
    bucket: Callable[[datetime], Hashable]


def plan(backups: Iterable[Backup], policy: Policy, now: datetime) -> list[Decision]:
    """Decide about every backup of a repository, newest first.

    Planning again what was kept drops nothing, and a policy with more slots drops nothing more. One
    that ends in the future takes no slot until its time has come. One that is damaged, or needs one
    that is damaged or missing, is not good.

    Args:
        backups: all that the repository has, in any order.
        policy: how many of what to keep.
        now: the time, with a zone.

    Raises:
        ValueError: two have one id, or one needs itself; then nothing may be dropped.
    """
    newest_first = sorted(backups, key=_age, reverse=True)
    bases_first = _bases_first(newest_first)
    faults = _faults(bases_first)
    past = [backup for backup in newest_first if backup.taken_at <= now]
    good = [backup for backup in past if backup.id not in faults]
    held = [(rule, _newest_of_each(rule, good)) for rule in _rules(policy)]

    kept: _Reasons = defaultdict(list)
    _keep_whatever_the_rules(kept, newest_first, faults, now)
    for rule, newest in held:
        for backups_of in newest.values():
            for backup in backups_of.values():
                kept[backup.id].append(format(backup.taken_at, rule.label))
    if policy.any_second_days:
        for backup in _bases_of_wal(good, now - timedelta(days=policy.any_second_days)):
            kept[backup.id].append(f"every second of {policy.any_second_days} days")
    _keep_bases(kept, bases_first)

    def why_dropped(backup: Backup) -> str:
        if fault := faults.get(backup.id):
            return f"{fault}; a newer one is good"
        for rule, newest in held:
            if rule.bucket(backup.taken_at) in newest:
                return f"another of the same {rule.noun} is kept"
        return "older than every rule"

    return [
        Decision(backup, keep=True, reasons=tuple(kept[backup.id]))
        if backup.id in kept
        else Decision(backup, keep=False, reasons=(why_dropped(backup),))
        for backup in newest_first
    ]


def drops(decisions: Iterable[Decision]) -> list[str]:
    """Ids to drop, in this order: what is left at any moment has all that it needs."""
    dropped = [decision.backup for decision in decisions if not decision.keep]
    return [backup.id for backup in reversed(_bases_first(dropped))]


def archive_window(decisions: Iterable[Decision], now: datetime, days: int) -> int:
    """How many of the kept backups must have all WAL since, so that every second can be restored.

    It is for pgBackRest's `repo-retention-archive` with `repo-retention-archive-type=incr`, which
    counts all that `backup.info` lists, newest first, damaged or not, and so does this. Of older
    ones pgBackRest keeps the WAL that makes them consistent. It counts at every `expire`, one
    with `--set`, too: drop first, without this number, then give it to an `expire` of its own
    with no backup between, or dropped or new ones are counted in place of kept ones.

    Args:
        decisions: as `plan` made them.
        now: the time, with a zone.
        days: how far back every second is to be had.

    Returns:
        Those back to the newest good one that ended before these days; all, if none is that old;
        at least 1.
    """
    kept = [decision.backup for decision in decisions if decision.keep]
    faults = _faults(_bases_first(kept))
    start = now - timedelta(days=days)
    for count, backup in enumerate(kept, 1):
        if backup.taken_at <= start and backup.id not in faults:
            return count
    return max(1, len(kept))


def _rules(policy: Policy) -> list[_Rule]:
    return [
        _Rule(policy.daily, "daily %Y-%m-%d", "day", datetime.toordinal),
        _Rule(policy.weekly, "weekly %G-W%V", "week", lambda at: at.isocalendar()[:2]),
        _Rule(policy.monthly, "monthly %Y-%m", "month", lambda at: (at.year, at.month)),
    ]


def _keep_whatever_the_rules(
    kept: _Reasons, newest_first: Sequence[Backup], faults: Mapping[str, str], now: datetime
) -> None:
    """Keep what is pinned or of the future, and all down to the newest good one."""
    good_seen = False
    for backup in newest_first:
        if backup.pinned:
            kept[backup.id].append("pinned")
        if backup.taken_at > now:
            kept[backup.id].append("in the future: clock?")
        elif not good_seen:
            good_seen = backup.id not in faults
            kept[backup.id].append(
                "newest good one" if good_seen else f"{faults[backup.id]}, but no good one is newer"
            )


def _newest_of_each(rule: _Rule, good: Iterable[Backup]) -> dict[Hashable, dict[str, Backup]]:
    """The newest backup of each of the rule's newest buckets, by cluster."""
    newest: dict[Hashable, dict[str, Backup]] = {}
    for backup in good:
        bucket = rule.bucket(backup.taken_at)
        if bucket not in newest:
            if len(newest) == rule.slots:
                break
            newest[bucket] = {}
        newest[bucket].setdefault(backup.cluster, backup)
    return newest


def _bases_of_wal(good: Iterable[Backup], start: datetime) -> list[Backup]:
    """From where every second since a moment is reached, as far as it ever was.

    The newest backup from before it, and the first since of each cluster. Of the same cluster that
    is the next to be the newest from before: without it the WAL of ever more days would stay.
    """
    first: dict[str, Backup] = {}
    for backup in good:
        if backup.taken_at <= start:
            return [*first.values(), backup]
        first[backup.cluster] = backup
    return list(first.values())


def _bases_first(newest_first: Sequence[Backup]) -> list[Backup]:
    """Oldest first, but every backup after the one that it needs, if that is among them."""
    by_id: dict[str | None, Backup] = {backup.id: backup for backup in newest_first}
    if len(by_id) < len(newest_first):
        raise ValueError("two backups have one id")
    ordered: dict[str, Backup] = {}
    for backup in reversed(newest_first):
        chain: dict[str, Backup] = {}
        link: Backup | None = backup
        while link and link.id not in ordered:
            if link.id in chain:
                raise ValueError(f"backup {link.id} needs itself")
            chain[link.id] = link
            link = by_id.get(link.needs)
        ordered.update(reversed(chain.items()))
    return list(ordered.values())


def _faults(bases_first: Iterable[Backup]) -> dict[str, str]:
    """Why a backup is not good, by id."""
    faults: dict[str, str] = {}
    seen: set[str] = set()
    for backup in bases_first:
        if not backup.good:
            faults[backup.id] = _DAMAGED
        elif backup.needs is not None and backup.needs not in seen:
            faults[backup.id] = f"needs {backup.needs}, which is missing"
        elif backup.needs in faults:
            fault = faults[backup.needs]
            faults[backup.id] = (
                f"needs {backup.needs}, which is damaged" if fault == _DAMAGED else fault
            )
        seen.add(backup.id)
    return faults


def _keep_bases(kept: _Reasons, bases_first: Sequence[Backup]) -> None:
    """Keep what a kept one needs, and what that needs."""
    builders: defaultdict[str, list[Backup]] = defaultdict(list)
    for backup in reversed(bases_first):
        if above := builders.get(backup.id):
            more = f" and {len(above) - 1} more" if len(above) > 1 else ""
            kept[backup.id].append(f"needed by {max(above, key=_age).id}{more}")
        if backup.id in kept and backup.needs is not None:
            builders[backup.needs].append(backup)
