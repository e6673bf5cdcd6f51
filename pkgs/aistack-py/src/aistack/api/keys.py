"""HTTP endpoints of API keys; all need the scope admin."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from aistack.access.model import (
    LARGEST_LIMIT,
    SCOPES,
    KeyEvent,
    KeyInfo,
    NewKey,
    Principal,
    Scope,
)
from aistack.api.endpoint import Call, Endpoint
from aistack.errors import ForbiddenError
from aistack.settings.names import Identifier

if TYPE_CHECKING:
    from aistack.wiring import Stack


class CreateKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to create."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=len(SCOPES))]
    collections: Annotated[list[Identifier], Meta(max_length=100)] | None = None
    """The only collections that it may know of; null: all."""
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    per_minute: Annotated[int, Meta(ge=1, le=LARGEST_LIMIT)] | None = None
    """Its own rate limits; null: the settings'."""
    per_hour: Annotated[int, Meta(ge=1, le=LARGEST_LIMIT)] | None = None


class RotateKey(Struct, frozen=True, forbid_unknown_fields=True):
    """How long the old secret stays valid beside the new one, in seconds."""

    overlap_s: Annotated[int, Meta(ge=0, le=30 * 24 * 3600)] = 24 * 3600


class KeyEvents(Struct, frozen=True):
    """What was done to a key, newest first; at most 100."""

    events: list[KeyEvent]


class KeyList(Struct, frozen=True):
    """All keys, without their secrets."""

    keys: list[KeyInfo]


def _require_whole(principal: Principal) -> None:
    # Else a key bound to some collections could make itself one that sees all.
    principal.require("admin")
    if principal.collections is not None:
        raise ForbiddenError("keys are managed by a key that is not bound to collections")


async def list_keys(stack: Stack, principal: Principal, _call: Call) -> KeyList:
    """All keys."""
    _require_whole(principal)
    return KeyList(await stack.keys.list())


async def create_key(stack: Stack, principal: Principal, call: Call) -> NewKey:
    """Create one; the answer is the only place where its secret is ever shown."""
    _require_whole(principal)
    body: CreateKey = call.body
    return await stack.keys.create(
        name=body.name,
        scopes=body.scopes,
        collections=body.collections,
        expires_at=body.expires_at,
        per_minute=body.per_minute,
        per_hour=body.per_hour,
        actor=principal,
    )


async def rotate_key(stack: Stack, principal: Principal, call: Call) -> NewKey:
    """Replace a key by a new one of the same rights."""
    _require_whole(principal)
    body: RotateKey = call.body
    overlap = timedelta(seconds=body.overlap_s)
    return await stack.keys.rotate(call.path["key_id"], overlap=overlap, actor=principal)


async def revoke_key(stack: Stack, principal: Principal, call: Call) -> KeyInfo:
    """Revoke one at once."""
    _require_whole(principal)
    return await stack.keys.revoke(call.path["key_id"], actor=principal)


async def key_events(stack: Stack, principal: Principal, call: Call) -> KeyEvents:
    """What was done to a key, and by whom."""
    _require_whole(principal)
    return KeyEvents(list(await stack.keys.events(call.path["key_id"])))


_TAGS = ("keys",)

ENDPOINTS = (
    Endpoint(
        method="GET", path="/v1/keys", handler=list_keys, scope="admin", tags=_TAGS,
        summary="List API keys", response=KeyList,
    ),
    Endpoint(
        method="POST", path="/v1/keys", handler=create_key, scope="admin", tags=_TAGS,
        summary="Create an API key", body=CreateKey, response=NewKey, status=201,
        errors=("conflict", "not-found"),
    ),
    Endpoint(
        method="POST", path="/v1/keys/{key_id}/rotate", handler=rotate_key, scope="admin",
        tags=_TAGS, summary="Replace an API key", body=RotateKey, response=NewKey, status=201,
        errors=("not-found", "conflict"),
    ),
    Endpoint(
        method="GET", path="/v1/keys/{key_id}/events", handler=key_events, scope="admin",
        tags=_TAGS, summary="A key's history", response=KeyEvents, errors=("not-found",),
    ),
    Endpoint(
        method="DELETE", path="/v1/keys/{key_id}", handler=revoke_key, scope="admin", tags=_TAGS,
        summary="Revoke an API key", response=KeyInfo, errors=("not-found",),
    ),
)  # fmt: skip
