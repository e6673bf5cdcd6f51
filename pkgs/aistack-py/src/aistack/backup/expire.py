"""Applies the retention plan to the repositories: one plan for pgBackRest and restic alike."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from msgspec import Struct

from aistack.backup.model import Contents, Part
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restic import Restic
from aistack.backup.retention import Backup, Decision, Policy, archive_window, drops, plan
from aistack.settings import schema

log = logging.getLogger(__name__)


class Verdict(Struct, frozen=True):
    """What becomes of one thing in a repository, and why."""

    repository: str
    part: Part
    id: str
    at: datetime
    keep: bool
    reasons: tuple[str, ...]


class Plan(Struct, frozen=True):
    """What is to be done in one repository."""

    repository: str
    verdicts: list[Verdict]
    """Newest first, by part."""
    physical: list[str]
    """Labels that go, in the order in which they can."""
    snapshots: list[str]
    """restic snapshots that go."""
    archive: int
    """So many of the newest backups keep the WAL that follows them."""


def decide(contents: Contents, rules: schema.Retention, now: datetime) -> Plan:
    """The plan for one repository; pure."""
    policy = Policy(daily=rules.daily, weekly=rules.weekly, monthly=rules.monthly)
    physical = plan(
        [
            Backup(one.label, one.finished_at, one.needs, good=not one.error, cluster=one.archive)
            for one in contents.physical
        ],
        replace(policy, any_second_days=rules.any_second_days),
        now,
    )
    logical = plan(
        [Backup(k.id, k.at, None) for k in contents.kept if k.part == "logical"], policy, now
    )
    index = _index(contents, physical)
    parts: list[tuple[Part, list[Decision]]] = [
        ("postgresql", physical), ("index", index), ("logical", logical),
    ]  # fmt: skip
    verdicts = [
        Verdict(contents.repository, part, d.backup.id, d.backup.taken_at, d.keep, d.reasons)
        for part, decisions in parts
        for d in decisions
    ]
    return Plan(
        repository=contents.repository,
        verdicts=verdicts,
        physical=drops(physical),
        snapshots=[*drops(index), *drops(logical)],
        archive=archive_window(physical, now, rules.any_second_days),
    )


def _index(contents: Contents, physical: Sequence[Decision]) -> list[Decision]:
    """The index of a run stays as long as its physical backup: each is for the other."""
    kept = {d.backup.id for d in physical if d.keep}
    runs = {one.run: one.label for one in contents.physical if one.label in kept}
    found = sorted(
        (k for k in contents.kept if k.part == "index"), key=lambda k: k.at, reverse=True
    )
    decisions = []
    for position, one in enumerate(found):
        label = runs.get(one.run)
        if label is not None:
            reason = f"of backup {label}"
        else:
            reason = "the newest" if position == 0 else "its physical backup goes or is gone"
        keep = label is not None or position == 0
        decisions.append(Decision(Backup(one.id, one.at, None), keep, (reason,)))
    return decisions


async def apply(settings: schema.Backup, todo: Plan) -> None:
    """Do a plan. Killed at any point, the next one does the rest.

    Raises:
        UnavailableError: the repository does not let us.
    """
    backrest, restic = PgBackRest(settings), Restic(settings, todo.repository)
    for label in todo.physical:
        log.info("%s: backup %s goes", todo.repository, label)
        await asyncio.to_thread(backrest.expire, todo.repository, label)
    # Only now: it counts the backups that are there.
    await asyncio.to_thread(backrest.expire_archive, todo.repository, todo.archive)
    await asyncio.to_thread(restic.forget, todo.snapshots)
