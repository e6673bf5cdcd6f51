"""What Alertmanager posts to a webhook, version 4: firing alerts become events."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, field

from aistack.issues.model import CATEGORIES, Event, Severity

_SEVERITIES: dict[str, Severity] = {
    "critical": "critical",
    "page": "critical",
    "error": "high",
    "high": "high",
    "warning": "medium",
    "medium": "medium",
    "low": "low",
    "info": "info",
}
_MOST = 500


class Alert(Struct, frozen=True, rename={"starts_at": "startsAt", "generator_url": "generatorURL"}):
    """One alert; fields that we do not know are passed over."""

    status: str = "firing"
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    starts_at: Annotated[datetime, Meta(tz=True)] | None = None
    generator_url: str = ""


class Alerts(Struct, frozen=True):
    """The body of the webhook."""

    alerts: Annotated[list[Alert], Meta(max_length=_MOST)]


def events_of(told: Alerts) -> list[Event]:
    """An event for each alert that fires and tells of something wrong, at this moment.

    One that is over is passed over: nothing says that its cause is mended, so its issue gets quiet
    and is then proposed for closing.
    """
    return [
        _event(alert)
        for alert in told.alerts
        if alert.status != "resolved" and not _is_no_news(alert.labels)
    ]


def _is_no_news(labels: dict[str, str]) -> bool:
    """A dead man's switch, which fires while all is well, or an alert about issues of ours.

    An issue made of an alert about issues would be the next such alert.
    """
    return labels.get("severity", "").lower() == "none" or labels.get("part") == "issues"


def _event(alert: Alert) -> Event:
    labels, notes = alert.labels, alert.annotations
    name = labels.get("alertname", "alert")
    names = ("component", "part", "service", "job")
    component = next((labels[name] for name in names if labels.get(name)), "unknown")
    category = next((one for one in CATEGORIES if one == labels.get("category")), None)
    return Event(
        kind="alert",
        message=f"{name}: {notes.get('summary') or notes.get('description') or 'fires'}",
        component=component,
        severity=_SEVERITIES.get(labels.get("severity", "").lower(), "medium"),
        category=category,
        source="alertmanager",
        context={
            "labels": labels,
            "annotations": notes,
            "generator_url": alert.generator_url,
            # Not the event's time: what has fired for days fires now.
            "starts_at": alert.starts_at,
        },
        # A Prometheus that watches its own host has all instances on loopback.
        host=labels.get("host") or _host(labels.get("instance", "unknown")),
        # The same alert of the same part, wherever it fires.
        fingerprint=f"alert {name} {component}",
    )


def _host(instance: str) -> str:
    """Of ``kb:9100`` or ``[::1]:9100``, without the port."""
    return instance.partition("]")[0][1:] if instance[:1] == "[" else instance.partition(":")[0]
