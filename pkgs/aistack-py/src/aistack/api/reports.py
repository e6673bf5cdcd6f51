"""HTTP endpoints that take reports of what went wrong: our own, Alertmanager's and Sentry's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from msgspec import Meta, Struct, structs
from starlette.exceptions import HTTPException

from aistack.access.model import Principal
from aistack.api.endpoint import Call, Endpoint
from aistack.issues import sentry
from aistack.issues.alertmanager import Alerts, events_of
from aistack.issues.model import Category, Event, Frame, Severity

if TYPE_CHECKING:
    from aistack.wiring import Stack

_Read = TypeVar("_Read")
_Name = Annotated[str, Meta(max_length=200)]


class Report(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that went wrong. Secrets in it are taken out; what is too long is cut."""

    message: Annotated[str, Meta(min_length=1, max_length=20_000)]
    kind: _Name = "message"
    """Class of the error."""
    component: _Name = "unknown"
    severity: Severity = "medium"
    category: Category | None = None
    """null: told by the kind and the message."""
    frames: Annotated[list[Frame], Meta(max_length=200)] = []
    """The stack, the innermost step last; steps that are ``in_app`` make the group."""
    stack: Annotated[str, Meta(max_length=50_000)] = ""
    """Traceback or log, for people."""
    context: dict[str, Any] = {}
    tags: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=16)] = []
    request_id: _Name | None = None
    host: _Name = "unknown"
    generation: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    """NixOS generation of the host."""
    release: _Name | None = None
    at: Annotated[datetime, Meta(tz=True)] | None = None
    """null: now."""
    fingerprint: _Name | None = None
    """Group by this instead of what we would."""


class Recorded(Struct, frozen=True):
    """The report is safe; its issue has it in a moment."""

    event: str
    """Its id."""


class Taken(Struct, frozen=True):
    """How many alerts were recorded."""

    events: int


class SentryId(Struct, frozen=True):
    """What Sentry's clients expect."""

    id: str


async def report_issue(stack: Stack, _principal: Principal, call: Call) -> Recorded:
    """Record one event."""
    given = structs.asdict(call.body)
    given |= {"frames": tuple(given["frames"]), "tags": tuple(given["tags"])}
    if given["at"] is None:
        del given["at"]
    event = Event(source="http", **given)
    await stack.tracker.recorder.take([event])
    return Recorded(event.id)


async def report_alerts(stack: Stack, _principal: Principal, call: Call) -> Taken:
    """Record what fires now; what is over is passed over and resolves nothing."""
    events = events_of(call.body)
    await stack.tracker.recorder.take(events)
    return Taken(len(events))


async def report_envelope(stack: Stack, _principal: Principal, call: Call) -> SentryId:
    """Record the events of an envelope; its other items are passed over."""
    events = await _read(sentry.envelope, stack, call)
    await stack.tracker.recorder.take(events)
    return SentryId(events[0].id if events else "")


async def report_store(stack: Stack, _principal: Principal, call: Call) -> SentryId:
    """Record one event of Sentry's older form."""
    event = await _read(sentry.stored, stack, call)
    await stack.tracker.recorder.take([event])
    return SentryId(event.id)


async def _read(parse: Callable[[bytes, str], _Read], stack: Stack, call: Call) -> _Read:
    """What a body holds; in a thread, since a large one takes a second of other requests."""
    coding = call.headers.get("content-encoding", "")
    most = stack.settings.limits.body_bytes

    def read() -> _Read:
        return parse(sentry.unpacked(call.body, coding, most), call.path["project"])

    try:
        return await asyncio.to_thread(read)
    except NotImplementedError as exc:
        raise HTTPException(415, "the content encoding must be gzip, deflate or none") from exc


_TAGS = ("issues",)

ENDPOINTS = (
    Endpoint(
        method="POST", path="/v1/issues", handler=report_issue, scope="issues", tags=_TAGS,
        summary="Report an error", body=Report, response=Recorded, status=202,
    ),
    Endpoint(
        method="POST", path="/v1/issues/alertmanager", handler=report_alerts, scope="issues",
        tags=_TAGS, summary="Report alerts, as Alertmanager's webhook does", body=Alerts,
        response=Taken, status=202,
    ),
    Endpoint(
        method="POST", path="/api/{project}/envelope/", handler=report_envelope, scope="issues",
        tags=_TAGS, summary="Report errors, as Sentry's clients do",
        raw_body="application/octet-stream", response=SentryId, errors=("not-found",),
    ),
    Endpoint(
        method="POST", path="/api/{project}/store/", handler=report_store, scope="issues",
        tags=_TAGS, summary="Report an error, as Sentry's older clients do",
        raw_body="application/octet-stream", response=SentryId, errors=("not-found",),
    ),
)  # fmt: skip
