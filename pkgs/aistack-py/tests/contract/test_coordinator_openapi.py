"""The coordinator's HTTP API does what its own OpenAPI description says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
import requests
import schemathesis
from anyio.from_thread import start_blocking_portal
from operations import each_operation, try_all
from psycopg.conninfo import make_conninfo
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.types import ASGIApp
from test_openapi import Inside

from aistack.api import openapi
from aistack.api.app import all_endpoints, create_app
from aistack.api.services import SERVICES
from aistack.settings.schema import Health, Limits, Postgres, Qdrant, RateLimits, Settings
from aistack.wiring import open_stack

BASE = "http://localhost:8092"


def document() -> dict[str, Any]:
    return openapi.document(all_endpoints("coordinator"), SERVICES["coordinator"].title)


def described(mode: str) -> Any:
    generation = {"deterministic": True, "with-security-parameters": False, "mode": mode}
    accepted = {"expected-statuses": ["2xx", "404", "409"]}
    config = schemathesis.Config.from_dict(
        {"generation": generation, "checks": {"positive_data_acceptance": accepted}}
    )
    return schemathesis.openapi.from_dict(document(), config=config)


anything, allowed = described("all"), described("positive")


@asynccontextmanager
async def served(own: Settings) -> AsyncIterator[tuple[ASGIApp, str]]:
    async with open_stack(own, index=False) as stack:
        await stack.postgres._pool.wait()
        await stack.indexer.drain()
        key = await stack.keys.create(name="contract", scopes=["admin"])
        app = create_app(stack, "coordinator")
        async with stack.health.running(), app.router.lifespan_context(app):
            yield app, key.key


@pytest.fixture(scope="module")
def key(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The app on a database of its own, reached by `requests`; the header of an admin key."""
    admin = make_conninfo(postgres_server, dbname="postgres")
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(f"create database coordinator template {template_database}".encode())
    own = Settings(
        # Nobody looks in the background: hypothesis minds who else uses the common generator.
        health=Health(interval_s=300),
        # The pool draws from it for each connection that it opens: all are open before that.
        postgres=Postgres(
            dsn=make_conninfo(postgres_server, dbname="coordinator"), pool_min=4, pool_max=4
        ),
        qdrant=Qdrant(url=None, path=str(tmp_path_factory.mktemp("contract") / "qdrant")),
        limits=Limits(body_bytes=65536, document_bytes=32768),
        rate_limits=RateLimits(enabled=False),
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
        conn.execute("drop database coordinator with (force)")


NOT_IN_A_SCHEMA = {
    "POST /v1/interactions": "no control characters, feedback needs an outcome",
    "POST /v1/augment": "no control characters",
    "GET /v1/solutions": "a cursor is signed",
}
"""Operations that refuse some of what their description allows, and why."""


def test_the_description_is_served(key: dict[str, str]) -> None:
    found = requests.get(BASE + "/openapi.json", headers=key, timeout=10)
    assert found.json() == document()


@each_operation(anything)
def test_every_operation_keeps_to_its_description(operation: Any, key: dict[str, str]) -> None:
    excluded = [positive_data_acceptance] if operation.label in NOT_IN_A_SCHEMA else []
    try_all(
        operation, lambda case: case.call_and_validate(BASE, headers=key, excluded_checks=excluded)
    )


@each_operation(allowed)
def test_so_it_does_with_things_that_exist(operation: Any, key: dict[str, str]) -> None:
    excluded = [positive_data_acceptance] if operation.label in NOT_IN_A_SCHEMA else []

    def check(case: Case) -> None:
        if "id" in (case.path_parameters or {}):
            case.path_parameters["id"] = make(key)["solutions" in case.path]
        if isinstance(case.body, dict) and "question" in case.body:
            case.body |= {"question": "how is it done", "collections": []}
            if "response" in case.body:
                del case.body["collections"]
                case.body |= {"outcome": "success", "session": None}
        case.call_and_validate(BASE, headers=key, excluded_checks=excluded)

    try_all(operation, check)


def make(key: dict[str, str]) -> tuple[str, str]:
    """The ids of an interaction and of its solution."""
    body = {"question": "how is it done", "response": "with care", "outcome": "success"}
    made = requests.post(BASE + "/v1/interactions", json=body, headers=key, timeout=10).json()
    return str(made["id"]), str(made["solution_id"])
