"""The HTTP API does what its OpenAPI description says: schemathesis asks, a real stack answers."""

from __future__ import annotations

import io
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest
import requests
import schemathesis
import urllib3
from anyio.from_thread import BlockingPortal, start_blocking_portal
from operations import each_operation, try_all
from psycopg.conninfo import make_conninfo
from schemathesis import Case
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.types import ASGIApp

from aistack.access.model import LOCAL_OPERATOR
from aistack.api import openapi
from aistack.api.app import all_endpoints, create_app
from aistack.knowledge.model import NewDocument
from aistack.settings.schema import Health, Limits, Postgres, Qdrant, RateLimits, Settings
from aistack.wiring import open_stack

BASE = "http://localhost:8091"


class Inside:
    """Serves what `requests` sends by the event loop that the stack was opened in.

    schemathesis' own ASGI client makes a loop for each request, and a pool of connections has
    but one. Its checks also open sessions of their own, so this stands in for every one's sending.
    """

    def __init__(self, portal: BlockingPortal, app: ASGIApp) -> None:
        self._portal = portal
        self._transport = httpx.ASGITransport(app)

    def send(self, request: requests.PreparedRequest) -> requests.Response:
        answer = self._portal.call(self._serve, request)
        response = requests.Response()
        response.status_code = answer.status_code
        response.headers.update(answer.headers)
        response.raw = urllib3.HTTPResponse(
            io.BytesIO(answer.content), headers=answer.headers.multi_items(), preload_content=False
        )
        response.request, response.url = request, request.url or ""
        return response

    async def _serve(self, request: requests.PreparedRequest) -> httpx.Response:
        body = request.body.encode() if isinstance(request.body, str) else request.body
        headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in request.headers.items()]
        asked = httpx.Request(
            request.method or "", request.url or "", headers=headers, content=body
        )
        answer = await self._transport.handle_async_request(asked)
        await answer.aread()
        return answer


def described(mode: str) -> Any:
    """The description as schemathesis reads it: the API's own value, which it also serves."""
    # Keys are ours to give: it would take each of the ways to present one as needed.
    generation = {"deterministic": True, "with-security-parameters": False, "mode": mode}
    accepted = {"expected-statuses": ["2xx", "304", "404", "409", "412"]}
    config = schemathesis.Config.from_dict(
        {"generation": generation, "checks": {"positive_data_acceptance": accepted}}
    )
    return schemathesis.openapi.from_dict(openapi.document(all_endpoints()), config=config)


anything, allowed = described("all"), described("positive")


@asynccontextmanager
async def served(own: Settings) -> AsyncIterator[tuple[ASGIApp, str]]:
    async with open_stack(own, index=False) as stack:
        await stack.postgres._pool.wait()
        new = NewDocument(path="a.md", source=b"# A\n\nsome text")
        await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new)
        await stack.indexer.drain()
        key = await stack.keys.create(name="contract", scopes=["admin"])
        app = create_app(stack)
        async with stack.health.running(), app.router.lifespan_context(app):
            yield app, key.key


@pytest.fixture(scope="module")
def key(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The app on a database of its own, reached by `requests`; the header of an admin key."""
    admin = make_conninfo(postgres_server, dbname="postgres")
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(f"create database contract template {template_database}".encode())
    own = Settings(
        # Nobody looks in the background: hypothesis minds who else uses the common generator.
        health=Health(interval_s=300),
        # The pool draws from it for each connection that it opens: all are open before that.
        postgres=Postgres(
            dsn=make_conninfo(postgres_server, dbname="contract"), pool_min=4, pool_max=4
        ),
        qdrant=Qdrant(url=None, path=str(tmp_path_factory.mktemp("contract") / "qdrant")),
        limits=Limits(body_bytes=65536, document_bytes=32768),
        rate_limits=RateLimits(enabled=False),  # or most answers would be 429
    )
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(served(own)) as (app, key),
        pytest.MonkeyPatch.context() as patch,
    ):
        inside = Inside(portal, app)
        patch.setattr(
            requests.adapters.HTTPAdapter, "send", lambda _, request, **__: inside.send(request)
        )
        yield {"Authorization": f"Bearer {key}"}
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute("drop database contract with (force)")


NOT_IN_A_SCHEMA = {
    "POST /v1/query": "a cursor is signed",
    "GET /v1/collections/{collection}/documents": "a cursor is signed",
    "PUT /v1/collections/{collection}/documents": "exactly one content, of a readable kind",
    "POST /v1/collections": "no control characters",
    "POST /v1/keys": "an expiry lies in the future, a name is printable",
    "GET /v1/issues": "a cursor is signed",
    "POST /v1/issues": "no U+0000",
    "POST /v1/issues/alertmanager": "no U+0000",
    "PATCH /v1/issues/{issue}": "a status and what belongs to it go together",
    "POST /api/{project}/envelope/": "lines of JSON",
    "POST /api/{project}/store/": "JSON",
}
"""Operations that refuse some of what their description allows, and why."""


def test_the_description_is_served(key: dict[str, str]) -> None:
    served = requests.get(BASE + "/openapi.json", headers=key, timeout=10)
    assert served.json() == openapi.document(all_endpoints())


@each_operation(anything)
def test_every_operation_keeps_to_its_description(operation: Any, key: dict[str, str]) -> None:
    excluded = [positive_data_acceptance] if operation.label in NOT_IN_A_SCHEMA else []
    try_all(
        operation, lambda case: case.call_and_validate(BASE, headers=key, excluded_checks=excluded)
    )


@each_operation(allowed)
def test_so_it_does_with_things_that_exist(operation: Any, key: dict[str, str]) -> None:
    """Names that are made up are mostly not found; here they are of things made just before."""
    # A wrong name that was made up is a right one now.
    excluded = [negative_data_rejection]
    excluded += [positive_data_acceptance] if operation.label in NOT_IN_A_SCHEMA else []

    def check(case: Case) -> None:
        for name in case.path_parameters or {}:
            case.path_parameters[name] = MADE[name](key)
        if isinstance(case.body, dict):
            case.body |= {k: v for k, v in USABLE.items() if k in case.body}
            if operation.label.startswith("PUT "):
                case.body |= {"content": "# A\n\nsome text", "content_base64": None}
        case.call_and_validate(BASE, headers=key, excluded_checks=excluded)

    try_all(operation, check)


def make_collection(key: dict[str, str]) -> str:
    body = {"name": f"made-{secrets.token_hex(4)}"}
    made = requests.post(BASE + "/v1/collections", json=body, headers=key, timeout=10)
    return str(made.json()["name"])


def make_document(key: dict[str, str]) -> str:
    body = {"path": f"{secrets.token_hex(4)}.md", "content": "# A\n\nsome text"}
    made = requests.put(
        BASE + "/v1/collections/nixos_docs/documents", json=body, headers=key, timeout=10
    )
    return str(made.json()["document"]["id"])


def make_key(key: dict[str, str]) -> str:
    body = {"name": "made", "scopes": ["read"]}
    made = requests.post(BASE + "/v1/keys", json=body, headers=key, timeout=10)
    return str(made.json()["info"]["id"])


def make_issue(key: dict[str, str]) -> str:
    body = {"message": secrets.token_hex(4), "fingerprint": secrets.token_hex(8)}
    requests.post(BASE + "/v1/issues", json=body, headers=key, timeout=10)
    found = requests.get(BASE + "/v1/issues?limit=1", headers=key, timeout=10)
    return str(found.json()["issues"][0]["id"])


USABLE = {
    "collection": "nixos_docs",
    "query": "some text",
    "min_score": 0,
    "cursor": None,
    "expires_at": None,
    "content_type": None,
}
"""Fields of bodies whose values no schema can tell."""
MADE = {
    "collection": lambda _: "nixos_docs",
    "name": make_collection,
    "id": make_document,
    "key_id": make_key,
    "issue": make_issue,
    "project": lambda _: "1",
}
"""A thing for each parameter of a path."""
