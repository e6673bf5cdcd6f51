"""API keys: who has one, what it may do and how much; making them, and ending them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec
from starlette.responses import Response

from aistack.access.model import LARGEST_LIMIT, SCOPES, KeyInfo, Scope
from aistack.api import problems
from aistack.api.console.render import page, see
from aistack.api.console.visit import Page, Visit
from aistack.api.keys import CreateKey
from aistack.errors import InvalidError

_DAYS = ("1", "30", "90", "365")


async def show(visit: Visit) -> Response:
    """All keys, those that are valid first."""
    return await _page(visit, made=None)


async def create(visit: Visit) -> Response:
    """Make one; this answer is the only place where its secret is ever shown."""
    wanted = _wanted(visit)
    made = await visit.stack.keys.create(
        name=wanted.name,
        scopes=wanted.scopes,
        collections=wanted.collections,
        expires_at=wanted.expires_at,
        per_minute=wanted.per_minute,
        per_hour=wanted.per_hour,
        actor=visit.principal,
    )
    visit.log("console: key created", created=made.info.id)
    return await _page(visit, made=made)


async def revoke(visit: Visit) -> Response:
    """End one now; doing it twice changes nothing."""
    ended = await visit.stack.keys.revoke(visit.path["key_id"], actor=visit.principal)
    visit.log("console: key revoked", revoked=ended.id)
    return see("/console/keys", "revoked")


async def _page(visit: Visit, made: object) -> Response:
    now = datetime.now(UTC)
    keys = sorted(await visit.stack.keys.list(), key=lambda key: not valid(key, now))
    limits = visit.stack.settings.rate_limits
    values = {"keys": keys, "made": made, "limits": limits, "scopes": SCOPES, "days": _DAYS}
    more = {"largest": LARGEST_LIMIT, "valid": lambda key: valid(key, now)}
    return page(visit, "keys.html", values | more)


def valid(key: KeyInfo, now: datetime) -> bool:
    """Whether it opens anything."""
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def _wanted(visit: Visit) -> CreateKey:
    form = visit.form
    values: dict[str, Any] = {
        "name": form.get("name", "").strip(),
        "scopes": [scope for scope in get_args(Scope) if form.get(f"scope_{scope}")],
    }
    for name in ("per_minute", "per_hour"):
        if form.get(name):
            values[name] = form[name]
    if named := form.get("collections", "").replace(",", " ").split():
        values["collections"] = named
    if days := form.get("days"):
        if days not in _DAYS:
            raise InvalidError("a key made here lasts 1, 30, 90 or 365 days, or has no end")
        values["expires_at"] = datetime.now(UTC) + timedelta(days=int(days))
    try:
        return msgspec.convert(values, CreateKey, strict=False)
    except msgspec.ValidationError as exc:
        raise problems.from_validation(exc) from exc


PAGES = (
    Page("GET", "/console/keys", show),
    Page("POST", "/console/keys", create),
    Page("POST", "/console/keys/{key_id}/revoke", revoke),
)
