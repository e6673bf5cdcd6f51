"""Looks at everything that the settings name, all at once."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable

import httpx
import msgspec
import psycopg
from msgspec import structs

from aistack.errors import AistackError
from aistack.host import certificates, units
from aistack.host.model import Finding, State
from aistack.jobs.ledger import Ledger
from aistack.settings.schema import Host, Settings
from aistack.stores.postgres import Postgres

_TIMEOUT_S = 3.0
_HOUR_S = 3600
_WORDS: dict[str, State] = {"ok": "ok", "degraded": "warning"}


async def look(settings: Settings) -> list[Finding]:
    """Every finding: units first, for what is broken mostly shows there, too."""
    host = settings.host
    groups = await asyncio.gather(
        units.look([*host.units, *host.timers]),
        _services(host),
        _jobs(settings),
        _each(_port, host.ports),
        _each(certificates.look, settings.health.certificates),
        _each(lambda path: _disk(path, settings.health.disk_free), host.disk_paths),
    )
    return [finding for group in groups for finding in group]


async def _each(
    function: Callable[[str], Awaitable[Finding]], names: Iterable[str]
) -> list[Finding]:
    return list(await asyncio.gather(*(function(name) for name in names)))


async def _services(host: Host) -> list[Finding]:
    async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
        return list(
            await asyncio.gather(
                *(_service(client, name, url) for name, url in sorted(host.services.items())),
                *(_instance(client, name, url) for name, url in sorted(host.instances.items())),
            )
        )


async def _instance(client: httpx.AsyncClient, name: str, url: str) -> Finding:
    """One of several: whether they suffice is told by the service as a whole."""
    found = await _service(client, name, url)
    return structs.replace(found, state="warning") if found.state == "critical" else found


async def _service(client: httpx.AsyncClient, name: str, url: str) -> Finding:
    """What a service says of itself; it says more to whoever has a key (/health/detailed)."""
    try:
        answer = await client.get(url.rstrip("/") + "/health/ready")
        word = str(msgspec.json.decode(answer.content)["status"])
    except httpx.HTTPError as exc:
        return Finding("service", name, "critical", f"does not answer: {type(exc).__name__}")
    except (msgspec.DecodeError, KeyError, TypeError):
        return Finding("service", name, "critical", "something else answers there")
    return Finding("service", name, _WORDS.get(word, "critical"), word)


async def _jobs(settings: Settings) -> list[Finding]:
    """Jobs that have to work again and again, by the ledger: it survives a reboot."""
    wanted = settings.host.jobs
    if not wanted:
        return []
    postgres = Postgres(settings.postgres)
    await postgres.open()
    try:
        totals = {one.job: one for one in await Ledger(postgres).totals()}
    except (AistackError, psycopg.Error) as exc:
        told = exc.detail if isinstance(exc, AistackError) else "the ledger cannot be read"
        return [Finding("job", name, "unknown", told) for name in sorted(wanted)]
    finally:
        await postgres.close()
    found = []
    for name, hours in sorted(wanted.items()):
        total = totals.get(name)
        last = total.last_ok if total is not None else None
        failed = (total.last_failed if total is not None else None) or 0.0
        found.append(_job(name, hours, last, failed, time.time()))
    return found


def _job(name: str, hours: int, last_ok: float | None, failed: float, now: float) -> Finding:
    if last_ok is None:
        state: State = "critical" if failed else "ok"
        return Finding("job", name, state, "only failed so far" if failed else "was not due yet")
    age = (now - last_ok) / _HOUR_S
    told = f"worked {age:.1f} h ago"
    if age > hours:
        return Finding("job", name, "critical", f"{told}, should every {hours} h (host.jobs)")
    if failed > last_ok:
        return Finding("job", name, "warning", f"{told}, and failed since")
    return Finding("job", name, "ok", told)


async def _port(address: str) -> Finding:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
    except (OSError, TimeoutError, ValueError) as exc:
        return Finding("port", address, "critical", f"nobody listens: {type(exc).__name__}")
    return Finding("port", address, "ok", "somebody listens")


async def _disk(path: str, enough: float) -> Finding:
    try:
        found = await asyncio.to_thread(os.statvfs, path)
    except OSError as exc:
        return Finding("disk", path, "unknown", exc.strerror or "cannot be read")
    shares = {"space": (found.f_bavail, found.f_blocks), "inodes": (found.f_favail, found.f_files)}
    what, share = min(
        ((name, free / total) for name, (free, total) in shares.items() if total),
        key=lambda pair: pair[1],
        default=("space", 1.0),
    )
    told = f"{100 * share:.0f} % of the {what} is free"
    state: State = "critical" if share < enough / 2 else "warning" if share < enough else "ok"
    return Finding("disk", path, state, told)
