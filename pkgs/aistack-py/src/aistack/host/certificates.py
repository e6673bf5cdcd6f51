"""The certificates that this host serves."""

from datetime import UTC, datetime

from aistack.errors import UnavailableError
from aistack.health.certificate import covers, judge, served, split
from aistack.health.model import Status
from aistack.host.model import Finding, State

_STATES: dict[Status, State] = {"pass": "ok", "warn": "warning", "fail": "critical"}


async def look(address: str, now: datetime | None = None) -> Finding:
    """The certificate that a server shows for a name, as ``name:port`` or ``name@host:port``."""
    try:
        certificate = await served(address)
    except UnavailableError as exc:
        return Finding("certificate", address, "critical", exc.detail)
    if certificate is None:
        return Finding("certificate", address, "critical", "nobody listens")
    name = split(address)[0]
    if not covers(certificate, name):
        return Finding("certificate", address, "critical", f"is not of {name}")
    reading = judge(certificate, now or datetime.now(UTC))
    return Finding("certificate", address, _STATES[reading.status], reading.output or "")
