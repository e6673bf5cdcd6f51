"""Events for the tests."""

from datetime import UTC, datetime
from typing import Any

from aistack.issues.model import Event

NOW = datetime(2026, 1, 8, 12, tzinfo=UTC)


def event(message: str = "the database does not answer", **more: Any) -> Event:
    return Event(message=message, **({"source": "command", "component": "aidb"} | more))
