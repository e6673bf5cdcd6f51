"""Units and timers, by what systemd says of them."""

import asyncio
from collections.abc import Sequence
from typing import Literal

from aistack.errors import AistackError
from aistack.host.model import Finding
from aistack.kit import process

_PROPERTIES = "Id,LoadState,ActiveState,SubState,Result,NRestarts,Type,StatusText"
_TIMEOUT_S = 10
_RESTARTS = 3
"""Restarts since it was started by hand from which a unit is worth a look."""


async def look(names: Sequence[str]) -> list[Finding]:
    """A finding a unit; all unknown where systemd does not answer."""
    if not names:
        return []
    command = ["systemctl", "show", "--no-pager", f"--property={_PROPERTIES}", "--", *names]
    try:
        text = await asyncio.to_thread(process.run, command, _TIMEOUT_S)
    except AistackError as exc:
        return [Finding(_kind(name), name, "unknown", exc.detail) for name in names]
    blocks = (block.splitlines() for block in text.strip().split("\n\n"))
    shown = [dict(line.split("=", 1) for line in block if "=" in line) for block in blocks]
    return [judge(name, unit) for name, unit in zip(names, shown, strict=False)]


def judge(name: str, unit: dict[str, str]) -> Finding:
    """What the properties of a unit mean."""
    kind, active, sub = _kind(name), unit.get("ActiveState", ""), unit.get("SubState", "")
    if unit.get("LoadState") != "loaded":
        return Finding(kind, name, "critical", f"is {unit.get('LoadState') or 'not there'}")
    if active == "failed":
        return Finding(kind, name, "critical", f"failed: {unit.get('Result')}")
    restarts = int(unit.get("NRestarts") or 0)
    if sub == "auto-restart":
        return Finding(kind, name, "critical", f"does not start: {restarts} restarts")
    if active in {"activating", "reloading", "deactivating"} and kind == "unit":
        if unit.get("Type") == "oneshot":
            return Finding(kind, name, "ok", "at work")
        return Finding(kind, name, "warning", active)
    if active == "inactive" and unit.get("Type") != "oneshot":
        return Finding(kind, name, "critical", "is not running")
    if restarts >= _RESTARTS:
        return Finding(kind, name, "warning", f"runs, after {restarts} restarts")
    return Finding(kind, name, "ok", unit.get("StatusText") or sub or active)


def _kind(name: str) -> Literal["unit", "timer"]:
    return "timer" if name.endswith(".timer") else "unit"
