from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx

from aistack.access.model import KeyInfo, NewKey, Principal
from aistack.api.app import create_app
from aistack.errors import NotFoundError, PreconditionError, UnauthenticatedError, UnavailableError
from aistack.health.model import Check, Detailed, Readiness
from aistack.kit.signing import Signer
from aistack.knowledge.model import (
    Collection,
    Document,
    DocumentInfo,
    DocumentPage,
    Hit,
    PutResult,
    SearchPage,
    Signals,
    Total,
)
from aistack.limits.limiter import Limiter
from aistack.monitoring.metrics import Metrics
from aistack.settings.schema import Limits, RateLimits, Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def info(doc: Document) -> DocumentInfo:
    return DocumentInfo(**{n: getattr(doc, n) for n in DocumentInfo.__struct_fields__})


@dataclass
class FakeDocuments:
    stored: dict[UUID, Document] = field(default_factory=dict)

    async def put(self, principal, collection, new, *, if_match=None, if_none_match=False):
        principal.require("write")
        old = next((d for d in self.stored.values() if d.path == new.path), None)
        if if_none_match and old:
            raise PreconditionError("it exists")
        if if_match and (not old or if_match not in ("*", f"{old.id.hex}-{old.revision}")):
            raise PreconditionError("another revision")
        doc = Document(
            old.id if old else uuid4(), collection, new.project, new.path, new.title or new.path,
            "text/markdown", "00", len(new.source), new.metadata, old.revision + 1 if old else 1,
            True, NOW, NOW, new.source.decode(),
        )  # fmt: skip
        self.stored[doc.id] = doc
        return PutResult(info(doc), "updated" if old else "created")

    async def get(self, principal, id):  # noqa: A002
        if id not in self.stored:
            raise NotFoundError("no such document")
        return self.stored[id]

    async def list(self, principal, collection, *, project=None, under=None, limit=50, cursor=None):
        docs = [info(d) for d in self.stored.values()][:limit]
        return DocumentPage(docs, len(self.stored), has_more=False, next_cursor=None)

    async def delete(self, principal, id, *, if_match=None):  # noqa: A002
        await self.get(principal, id)
        del self.stored[id]

    async def delete_project(self, principal, collection, project):
        return len(self.stored)


class FakeSearch:
    async def search(self, principal, query):
        if query.query == "bug":
            raise RuntimeError("secret internals")
        if query.query == "down":
            raise UnavailableError("the index does not answer", retry_after_s=7)
        hit = Hit(
            uuid4(), uuid4(), query.collection, "default", "a.md", "A", "", "text of the hit",
            0.5, Signals(1.0, None), {},
        )  # fmt: skip
        return SearchPage([hit], Total(1, "exact"), False, None, "lexical")


class FakeCollections:
    async def list(self, principal):
        return [Collection("notes", "Notes", 1, 1, 0, dense=False)]


class FakeKeys:
    async def verify(self, presented: str) -> Principal:
        if presented not in ("read", "write", "admin", "metrics"):
            raise UnauthenticatedError(f"unknown key {presented}")
        return Principal("k1", presented, frozenset({presented}))

    async def create(self, *, name, scopes, collections=None, expires_at=None, **limits):
        key = KeyInfo("k2", name, list(scopes), collections, NOW, expires_at, None, None, 60, None)
        return NewKey("secret", key)


class FakeStoredMetrics:
    async def render(self) -> bytes:
        return b"aistack_job_ledger_readable 1.0\n"


class FakeHealth:
    """A board on which the test writes."""

    def __init__(self) -> None:
        self.status: Readiness = "degraded"

    def started(self) -> bool:
        return self.status != "unavailable"

    def ready(self) -> Readiness:
        return self.status

    def detailed(self) -> Detailed:
        check = Check(status="pass", critical=True, observed=None, unit=None, output=None,
                      checked_at=NOW, age_s=0.1, since=NOW)  # fmt: skip
        return Detailed(
            status="pass", service="aidb", started_at=NOW, loop_lag_s=0.0,
            checks={"postgres": check},
        )  # fmt: skip


def fake_stack(rate_limits: RateLimits | None = None) -> Any:
    unlimited = RateLimits(enabled=False)
    settings = Settings(limits=Limits(body_bytes=4096), rate_limits=rate_limits or unlimited)
    metrics = Metrics()
    return SimpleNamespace(
        settings=settings,
        signer=Signer(b"secret"),
        postgres=None,
        limiter=Limiter(settings.rate_limits, settings.redis, metrics, b"secret"),
        documents=FakeDocuments(),
        collections=FakeCollections(),
        search=FakeSearch(),
        keys=FakeKeys(),
        metrics=metrics,
        stored_metrics=(FakeStoredMetrics(),),
        health=FakeHealth(),
    )


@asynccontextmanager
async def client(key: str | None = "admin", stack: Any = None) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(stack or fake_stack())
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://localhost:8091", headers=headers
        ) as c,
    ):
        yield c


def refs(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [r for v in node.values() for r in refs(v)]
    return [r for v in node for r in refs(v)] if isinstance(node, list) else []


def resolve(root: Any, ref: str) -> Any:
    assert ref.startswith("#/")
    for step in ref[2:].split("/"):
        root = root[step]
    return root
