"""What is recorded, and what the tracker makes of it."""

import math
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal, get_args
from uuid import uuid4

import msgspec
from msgspec import Meta, Struct, field

Severity = Literal["critical", "high", "medium", "low", "info"]
Category = Literal[
    "security", "performance", "reliability", "data_integrity", "configuration", "deployment",
    "integration", "validation", "monitoring", "other",
]  # fmt: skip
Status = Literal[
    "open", "investigating", "in_progress", "resolved", "wont_fix", "duplicate", "muted"
]
Source = Literal["command", "http", "sentry", "alertmanager", "systemd", "exception"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
CATEGORIES: tuple[Category, ...] = get_args(Category)
STATUSES: tuple[Status, ...] = get_args(Status)
ACTIVE: tuple[Status, ...] = ("open", "investigating", "in_progress")

MESSAGE_CHARS = 8000
STACK_CHARS = 32_000
CONTEXT_BYTES = 16_000
FRAMES = 50
TAGS = 16
TAG_CHARS = 64
NAME_CHARS = 200
_DEPTH = 20
_FUTURE = timedelta(minutes=5)
_PAST = datetime(2000, 1, 1, tzinfo=UTC)
"""A clock beyond these is not believed: its issues would stay the newest, or oldest, for ever."""


class Frame(Struct, frozen=True):
    """One step of a stack, the innermost last."""

    module: str
    function: str
    in_app: bool = True


class Event(Struct, frozen=True, kw_only=True):
    """One thing that went wrong, as a source tells it; `shaped` makes it fit to be kept."""

    message: str
    kind: str = "message"
    """The exception's class, ``unit``, ``alert`` or, of plain text, ``message``."""
    component: str = "unknown"
    severity: Severity = "medium"
    category: Category | None = None
    """None: told by the kind and the message."""
    source: Source
    id: str = field(default_factory=lambda: uuid4().hex)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    frames: tuple[Frame, ...] = ()
    stack: str = ""
    """The traceback or the last lines of a log, for people."""
    context: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    request_id: str | None = None
    host: str = "unknown"
    generation: int | None = None
    generation_at: datetime | None = None
    release: str | None = None
    fingerprint: str | None = None
    """What the reporter groups by, instead of what we would."""


class Issue(Struct, frozen=True):
    """A group of events of one cause."""

    id: int
    kind: str
    title: str
    component: str
    severity: Severity
    category: Category
    status: Status
    first_seen: datetime
    last_seen: datetime
    count: int
    first_generation: int | None
    last_generation: int | None
    last_host: str
    regressions: int
    regressed_at: datetime | None
    resolved_at: datetime | None
    resolved_generation: int | None
    resolution: str | None
    muted_until: datetime | None
    muted_until_count: int | None
    duplicate_of: int | None
    assignee: str | None
    tags: list[str]
    pinned: bool
    fingerprint: str
    """In hexadecimal, behind the version of the algorithm: ``1:0f3a...``."""


class Occurrence(Struct, frozen=True):
    """One of the newest events of an issue."""

    number: int
    at: datetime
    message: str
    stack: str
    context: dict[str, Any]
    request_id: str | None
    host: str
    generation: int | None
    release: str | None
    source: Source


class Happening(Struct, frozen=True):
    """What was done to an issue."""

    at: datetime
    event: str
    detail: str | None
    actor: str


class Deed(Struct, frozen=True):
    """What happened to one of all issues; ``opened``: its first event came."""

    at: datetime
    id: int
    title: str
    severity: Severity
    event: str
    actor: str


class IssueDetail(Struct, frozen=True):
    """An issue with all that belongs to it."""

    issue: Issue
    occurrences: list[Occurrence]
    """The newest, newest first."""
    links: list[str]
    history: list[Happening]
    """Newest first, 50 at most."""


class IssueChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of an issue; what is not given stays."""

    status: Status | None = None
    resolution: Annotated[str, Meta(max_length=2000)] | None = None
    in_generation: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    """With ``resolved``: the NixOS generation that mends it; an older one does not reopen it."""
    muted_until: Annotated[datetime, Meta(tz=True)] | None = None
    """With ``muted``: until then."""
    muted_until_count: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    """With ``muted``: until so many occurrences in all."""
    duplicate_of: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    """With ``duplicate``: of which issue."""
    severity: Severity | None = None
    category: Category | None = None
    assignee: Annotated[str, Meta(max_length=NAME_CHARS)] | None = None
    """Empty: nobody."""
    pinned: bool | None = None
    """Pinned issues are never evicted."""
    link: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    """A URL or a note to add, for example the commit that mends it."""


Time = Annotated[datetime, Meta(tz=True)]


class IssueFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which issues; all of what is given must hold."""

    status: Status | Literal["active", "any"] = "active"
    """``active``: open, investigating or in progress. It bounds nothing where a filter asks for
    what none of these has: `resolved_since`, `resolved_until`, `muted_until`, `duplicate_of`."""
    severity: Severity | None = None
    category: Category | None = None
    component: str | None = None
    kind: str | None = None
    assignee: str | None = None
    tag: str | None = None
    host: str | None = None
    generation: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    """Seen last in this NixOS generation."""
    first_generation: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    """Seen first in this NixOS generation."""
    min_count: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    """At least so many occurrences."""
    regressed: bool = False
    pinned: bool = False
    """Only those that eviction leaves alone."""
    fingerprint: str | None = None
    """As `Issue.fingerprint`, with its version."""
    text: str | None = None
    """A part of the title, in any case."""
    since: Time | None = None
    """Seen last at or after this."""
    until: Time | None = None
    """Seen last before this."""
    new_since: Time | None = None
    """Seen first at or after this."""
    new_until: Time | None = None
    """Seen first before this."""
    resolved_since: Time | None = None
    """Resolved at or after this."""
    resolved_until: Time | None = None
    """Resolved before this."""
    muted_until: Time | None = None
    """Muted, but only until before this."""
    duplicate_of: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    """The same as this issue."""
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    cursor: str | None = None


class IssuePage(Struct, frozen=True):
    """Issues by the time of their last occurrence, newest first."""

    issues: list[Issue]
    has_more: bool
    next_cursor: str | None


def shaped(event: Event, slack: int = 0) -> Event:
    """The event within all bounds, without what PostgreSQL or a terminal cannot hold.

    Args:
        event: any.
        slack: so many characters more than its bound may each text have.
    """
    name, text = partial(_name, slack=slack), partial(_text, slack=slack)
    now = datetime.now(UTC)
    at = event.at if event.at.tzinfo else event.at.replace(tzinfo=UTC)
    context = _plain(msgspec.to_builtins(event.context, enc_hook=str, str_keys=True))
    if len(msgspec.json.encode(context)) > CONTEXT_BYTES:
        context = {"left_out": f"the context had more than {CONTEXT_BYTES} bytes"}
    return msgspec.structs.replace(
        event,
        message=text(event.message, MESSAGE_CHARS) or "(no message)",
        kind=name(event.kind) or "message",
        component=name(event.component) or "unknown",
        at=at if _PAST <= at <= now + _FUTURE else now,
        frames=tuple(
            Frame(name(f.module), name(f.function), f.in_app) for f in event.frames[-FRAMES:]
        ),
        # The end of a traceback or log says most.
        stack=text(event.stack[-STACK_CHARS - slack :], STACK_CHARS),
        context=context,
        tags=tuple(text(tag, TAG_CHARS) for tag in event.tags[:TAGS]),
        request_id=name(event.request_id) if event.request_id else None,
        host=name(event.host) or "unknown",
        release=name(event.release) if event.release else None,
        fingerprint=name(event.fingerprint) if event.fingerprint else None,
    )


def _name(text: str, slack: int = 0) -> str:
    return " ".join(_text(text, NAME_CHARS, slack).split())


def _text(text: str, most: int, slack: int = 0) -> str:
    """No lone surrogates; of the control characters only tab and newline."""
    text = text[: most + slack]
    if not text.isprintable():
        text = text.encode("utf-8", "replace").decode("utf-8").translate(_CONTROLS)
    return text


_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "")


def _plain(value: Any, depth: int = 0) -> Any:
    """JSON that PostgreSQL holds and that needs no deep stack."""
    if isinstance(value, str):
        return _text(value, len(value))
    if isinstance(value, (dict, list)) and depth == _DEPTH:
        return "(nested too deeply)"
    if isinstance(value, dict):
        return {_text(str(key), NAME_CHARS): _plain(v, depth + 1) for key, v in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) >= 2**63:
        return str(value)
    return value
