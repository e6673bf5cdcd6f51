"""HTTP endpoints of collections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from aistack.access.model import Principal
from aistack.api.endpoint import Call, Endpoint, Reply
from aistack.knowledge.model import Collection
from aistack.settings.names import Identifier

if TYPE_CHECKING:
    from aistack.wiring import Stack


class CreateCollection(Struct, frozen=True, forbid_unknown_fields=True):
    """A collection to create."""

    name: Identifier
    description: Annotated[str, Meta(max_length=1000)] = ""


class CollectionList(Struct, frozen=True):
    """All collections that the caller may know of."""

    collections: list[Collection]


async def list_collections(stack: Stack, principal: Principal, _call: Call) -> CollectionList:
    """All collections."""
    return CollectionList(await stack.collections.list(principal))


async def create_collection(stack: Stack, principal: Principal, call: Call) -> Reply:
    """Create one."""
    body: CreateCollection = call.body
    made = await stack.collections.create(principal, body.name, body.description)
    return Reply(made, headers={"Location": f"/v1/collections/{made.name}"})


async def get_collection(stack: Stack, principal: Principal, call: Call) -> Collection:
    """One collection."""
    return await stack.collections.get(principal, call.path["name"])


async def delete_collection(stack: Stack, principal: Principal, call: Call) -> None:
    """Delete one with all its documents."""
    await stack.collections.delete(principal, call.path["name"])


_TAGS = ("collections",)

ENDPOINTS = (
    Endpoint(
        method="GET", path="/v1/collections", handler=list_collections, scope="read", tags=_TAGS,
        summary="List collections", response=CollectionList,
    ),
    Endpoint(
        method="POST", path="/v1/collections", handler=create_collection, scope="admin",
        tags=_TAGS, summary="Create a collection", body=CreateCollection, response=Collection,
        status=201, errors=("conflict",),
    ),
    Endpoint(
        method="GET", path="/v1/collections/{name}", handler=get_collection, scope="read",
        tags=_TAGS, summary="Get a collection", response=Collection, errors=("not-found",),
    ),
    Endpoint(
        method="DELETE", path="/v1/collections/{name}", handler=delete_collection, scope="admin",
        tags=_TAGS, summary="Delete a collection and its documents", status=204,
        errors=("not-found", "conflict"),
    ),
)  # fmt: skip
