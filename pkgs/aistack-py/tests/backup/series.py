"""Backups for the tests of the planner."""

from collections.abc import Iterable
from datetime import UTC, datetime

from aistack.backup.retention import Backup, Decision, Policy, drops, plan


def at(text: str) -> datetime:
    """A time of UTC: `2026-11-23` or `2026-11-23T02:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def backup(
    text: str,
    needs: str | None = None,
    *,
    good: bool = True,
    pinned: bool = False,
    cluster: str = "",
) -> Backup:
    """One whose id is its time's text."""
    return Backup(text, at(text), needs, good, pinned, cluster)


def kept(decisions: Iterable[Decision]) -> list[str]:
    """Ids that stay, newest first."""
    return [decision.backup.id for decision in decisions if decision.keep]


def reasons(decisions: Iterable[Decision]) -> dict[str, tuple[str, ...]]:
    """By id."""
    return {decision.backup.id: decision.reasons for decision in decisions}


class Repository:
    """Backups that are taken one by one, with a plan carried out after each."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.backups: dict[str, Backup] = {}

    def add(self, new: Backup) -> list[Decision]:
        """Take one, and drop what the plan then says."""
        self.backups[new.id] = new
        decisions = plan(self.backups.values(), self.policy, new.taken_at)
        for id_ in drops(decisions):
            del self.backups[id_]
        return decisions

    @property
    def ids(self) -> list[str]:
        """Newest first."""
        return sorted(self.backups, reverse=True)
