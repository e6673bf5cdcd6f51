"""The probes of what every service depends on."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from aistack.errors import UnavailableError
from aistack.health.certificate import covers, judge, lifetime, served, split
from aistack.health.model import Probe, Reading, Status
from aistack.monitoring.health import HealthMetrics
from aistack.settings.schema import Backup, Health, Settings
from aistack.stores.postgres import Postgres
from aistack.stores.qdrant import Qdrant
from aistack.stores.redis import Redis

BackupAge = Callable[[], Awaitable[float | None]]
"""Seconds since PostgreSQL was last backed up; None: never."""
Backlog = Callable[[], Awaitable[tuple[int, int, float]]]
"""Documents that wait for the index, how many of them failed, and how long the first has waited."""


def probes(
    settings: Settings,
    *,
    postgres: Postgres,
    qdrant: Qdrant,
    redis: Redis,
    embeddings: Callable[[], Awaitable[None]] | None,
    backlog: Backlog,
    metrics: HealthMetrics,
    backup_age: BackupAge,
) -> list[Probe]:
    """One for each dependency that is configured."""
    rules = settings.health
    looks: dict[str, Callable[[], Awaitable[Reading]]] = {
        "postgres": lambda: _postgres(postgres),
        "qdrant": lambda: _answers(qdrant.ping),
        "outbox": lambda: _outbox(backlog, rules),
    }
    if redis.configured:
        looks["redis"] = lambda: _redis(redis)
    if embeddings is not None:
        looks["embeddings"] = lambda: _answers(embeddings)
    if settings.backup.repositories:
        looks["backup"] = lambda: _backup(backup_age, settings.backup)
    if rules.disk_paths:
        looks["disk"] = lambda: _disk(rules)
    if rules.certificates:
        looks["certificate"] = lambda: certificates(rules, metrics)
    return [Probe(name, look, name in rules.critical) for name, look in looks.items()]


async def _postgres(postgres: Postgres) -> Reading:
    """On a connection of its own: that requests have taken the whole pool is no illness."""
    async with postgres.dedicated() as conn:
        row = await (await conn.execute("select pg_is_in_recovery() as standby")).fetchone()
    if row and row["standby"]:
        return Reading("fail", output="the server is a standby and takes no writes")
    return Reading("pass")


async def _answers(ask: Callable[[], Awaitable[None]]) -> Reading:
    await ask()
    return Reading("pass")


async def _redis(redis: Redis) -> Reading:
    return Reading("pass") if await redis.ping() else Reading("fail", output="no answer")


async def _outbox(backlog: Backlog, rules: Health) -> Reading:
    """Documents are stored whatever the index does; that it falls behind is worth a warning."""
    waiting, failing, longest_s = await backlog()
    if failing:
        return Reading("warn", waiting, "documents", f"{failing} documents could not be indexed")
    if longest_s > rules.outbox_s:
        told = f"a document has waited for {longest_s:.0f} s (health.outbox_s)"
        return Reading("warn", waiting, "documents", told)
    return Reading("pass", waiting, "documents")


async def _backup(age: BackupAge, rules: Backup) -> Reading:
    seconds = await age()
    if seconds is None:
        return Reading("warn", output="there is no backup yet (aistack backup run)")
    hours = round(seconds / 3600, 1)
    if hours <= rules.max_age_hours:
        return Reading("pass", hours, "h")
    told = f"the last backup is {hours:.0f} h old (backup.max_age_hours)"
    return Reading("fail" if hours > 2 * rules.max_age_hours else "warn", hours, "h", told)


async def _disk(rules: Health) -> Reading:
    free = await asyncio.to_thread(lambda: {path: _free(path) for path in rules.disk_paths})
    path, share = min(free.items(), key=lambda item: item[1])
    percent = round(100 * share, 1)
    if share < rules.disk_free / 2:
        return Reading("fail", percent, "%", f"{percent} % of {path} are free")
    if share < rules.disk_free:
        return Reading("warn", percent, "%", f"{percent} % of {path} are free")
    return Reading("pass", percent, "%")


def _free(path: str) -> float:
    found = os.statvfs(path)
    return found.f_bavail / found.f_blocks if found.f_blocks else 1.0


async def certificates(rules: Health, metrics: HealthMetrics) -> Reading:
    """The worst of those that are served."""
    order: dict[Status, int] = {"pass": 0, "warn": 1, "fail": 2}
    looks = (_certificate(address, rules, metrics) for address in rules.certificates)
    return max(await asyncio.gather(*looks), key=lambda reading: order[reading.status])


async def _certificate(address: str, rules: Health, metrics: HealthMetrics) -> Reading:
    try:
        found = await served(address, rules.timeout_s)
    except UnavailableError as exc:
        return Reading("fail", output=exc.detail)
    if found is None:
        return Reading("fail", output=f"nobody listens at {address}")
    name, now = split(address)[0], datetime.now(UTC)
    left = found.not_valid_after_utc - now
    metrics.certificate(
        name, left_s=left.total_seconds(), lifetime_s=lifetime(found).total_seconds()
    )
    if not covers(found, name):
        return Reading("fail", output=f"the certificate at {address} is not of {name}")
    return judge(found, now)
