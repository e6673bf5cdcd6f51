"""What is found of one thing on the host, in the terms of Nagios' plug-ins."""

from typing import Literal

from msgspec import Struct

State = Literal["ok", "warning", "critical", "unknown"]
EXIT_CODES: dict[State, int] = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}
_ORDER: tuple[State, ...] = ("ok", "unknown", "warning", "critical")


class Finding(Struct, frozen=True):
    """One thing that was looked at."""

    kind: Literal["unit", "timer", "job", "service", "port", "certificate", "disk"]
    name: str
    state: State
    told: str


def worst(findings: list[Finding]) -> State:
    """The state of all: the worst there is."""
    return max((f.state for f in findings), key=_ORDER.index, default="unknown")
