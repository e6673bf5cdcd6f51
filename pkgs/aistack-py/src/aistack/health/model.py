"""The values of health checks."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from msgspec import Struct

Status = Literal["pass", "warn", "fail"]
Readiness = Literal["ok", "degraded", "unavailable"]


class Reading(Struct, frozen=True):
    """What one look at a dependency found."""

    status: Status
    observed: float | None = None
    unit: str | None = None
    output: str | None = None
    """Why it is not well, in the product's words."""


@dataclass(frozen=True)
class Probe:
    """One way to look at a dependency; raises or takes too long where it does not answer."""

    name: str
    look: Callable[[], Awaitable[Reading]]
    critical: bool
    """Without it no request can be answered."""


class Check(Struct, frozen=True, kw_only=True):
    """A dependency as it is known now."""

    status: Status
    critical: bool
    observed: float | None
    unit: str | None
    output: str | None
    checked_at: datetime | None
    """Null: never yet."""
    age_s: float | None
    since: datetime
    """When it came into this status."""


class Detailed(Struct, frozen=True, kw_only=True):
    """A service with all that it depends on."""

    status: Status
    service: str
    started_at: datetime
    loop_lag_s: float
    """How late the event loop was in the last seconds."""
    checks: dict[str, Check]
