"""What the stack says of itself: alerts, health, units, issues."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from shell import run


@dataclass
class Watch:
    """Asks Prometheus and the services on this host; what does not answer is not well."""

    http: httpx.AsyncClient
    prometheus: str
    alertmanager: str
    key: str
    services: tuple[str, ...]
    """Base URLs of whatever answers at /health/detailed."""
    units: tuple[str, ...]

    async def _get(self, url: str, key: str = "") -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            return (await self.http.get(url, headers=headers, timeout=5)).json()
        except (httpx.HTTPError, json.JSONDecodeError):
            return {}

    async def firing(self, alert: str, labels: dict[str, str]) -> list[tuple[datetime, float, str]]:
        """The alerts that fire of that name with these labels: since when, their value and part."""
        told = await self._get(f"http://{self.prometheus}/api/v1/alerts")
        wanted = {"alertname": alert, **labels}.items()
        return [
            (_time(one["activeAt"]), float(one["value"]), one["labels"]["part"])
            for one in told.get("data", {}).get("alerts", [])
            if one["state"] == "firing" and wanted <= one["labels"].items()
        ]

    async def handed_on(self, alert: str, labels: dict[str, str]) -> bool:
        """Whether Alertmanager has it."""
        told = await self._get(f"http://{self.alertmanager}/api/v2/alerts?active=true")
        wanted = {"alertname": alert, **labels}.items()
        return any(wanted <= one["labels"].items() for one in told)

    async def sick(self) -> list[str]:
        """What is not well now: services, what they depend on, and units."""
        found = []
        for base in self.services:
            checks = (await self._get(f"{base}/health/detailed", self.key)).get("checks")
            if checks is None:
                found.append(f"{base} does not answer")
            else:
                found += [f"{base}: {n}" for n in checks if checks[n]["status"] != "pass"]
        return found + await self.down()

    async def down(self) -> list[str]:
        """The units that have failed, or do not run."""
        shown = await run(
            "systemctl", "show", "--property=Id,ActiveState,SubState,Type,Result", "--", *self.units
        )
        units = [
            dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n")
        ]
        return [
            f"{unit['Id']} is {unit['ActiveState']} ({unit['Result']})"
            for unit in units
            if unit["ActiveState"] != "active"
            and not (unit["ActiveState"] == "inactive" and unit["Type"] == "oneshot")
        ]


async def issues() -> list[dict[str, Any]]:
    """Every issue of the tracker."""
    told = await run("aistack", "issues", "list", "--status", "any", "--limit", "500", "--json")
    found: list[dict[str, Any]] = json.loads(told)["issues"]
    return found


def lacking(alerts: Iterable[tuple[str, str]], found: list[dict[str, Any]]) -> list[str]:
    """The alerts, each with its part, of which no issue was made.

    Alertmanager holds back what is known of a target that cannot be asked: then the issue is that
    one's.
    """
    told = {(str(issue["title"]).partition(": ")[0], issue["component"]) for issue in found}
    return [name for name, part in alerts if not told & {(name, part), ("TargetDown", part)}]


def now() -> datetime:
    """The time, as Prometheus has it."""
    return datetime.fromtimestamp(time.time(), UTC)


def _time(text: str) -> datetime:
    """Prometheus tells nanoseconds, and Python takes no more than microseconds."""
    head, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6] or '0'}+00:00")
