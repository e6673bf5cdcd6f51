"""A service whose answers schemathesis judges, in this process."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
import urllib3
from anyio.from_thread import BlockingPortal, start_blocking_portal
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.types import ASGIApp

from aistack.api import openapi
from aistack.api.app import all_endpoints, create_app
from aistack.api.services import SERVICES, ServiceName
from aistack.settings.schema import Health, Limits, Postgres, Qdrant, RateLimits, Settings
from aistack.wiring import Stack, open_stack

Key = dict[str, str]
"""The header that presents a key."""


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


def document(service: ServiceName) -> dict[str, Any]:
    return openapi.document(all_endpoints(service), SERVICES[service].title)


def described(service: ServiceName, mode: str, *accepted: str) -> Any:
    """The description as schemathesis reads it: the API's own value, which it also serves.

    ``accepted`` are the statuses of a request that keeps to the description.
    """
    # Keys are ours to give: it would take each of the ways to present one as needed.
    generation = {"deterministic": True, "with-security-parameters": False, "mode": mode}
    config = schemathesis.Config.from_dict(
        {
            "generation": generation,
            "checks": {"positive_data_acceptance": {"expected-statuses": list(accepted)}},
        }
    )
    return schemathesis.openapi.from_dict(document(service), config=config)


@asynccontextmanager
async def _opened(
    own: Settings, service: ServiceName, fill: Callable[[Stack], Awaitable[object]] | None
) -> AsyncIterator[tuple[ASGIApp, str]]:
    async with open_stack(own, index=False, service=service) as stack:
        await stack.postgres._pool.wait()
        if fill is not None:
            await fill(stack)
        await stack.indexer.drain()
        key = await stack.keys.create(name="contract", scopes=["admin"])
        app = create_app(stack, service)
        async with stack.health.running(), app.router.lifespan_context(app):
            yield app, key.key


@contextmanager
def answering(
    service: ServiceName,
    dsn: str,
    folder: Path,
    fill: Callable[[Stack], Awaitable[object]] | None = None,
) -> Iterator[Key]:
    """The service, reached by `requests`; an admin's key."""
    own = Settings(
        # Nobody looks in the background: hypothesis minds who else uses the common generator.
        health=Health(interval_s=300),
        # The pool draws from it for each connection that it opens: all are open before that.
        postgres=Postgres(dsn=dsn, pool_min=4, pool_max=4),
        qdrant=Qdrant(url=None, path=str(folder / "qdrant")),
        limits=Limits(body_bytes=65536, document_bytes=32768),
        rate_limits=RateLimits(enabled=False),  # or most answers would be 429
    )
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_opened(own, service, fill)) as (app, key),
        pytest.MonkeyPatch.context() as patch,
    ):
        inside = Inside(portal, app)
        patch.setattr(
            requests.adapters.HTTPAdapter, "send", lambda _, request, **__: inside.send(request)
        )
        yield {"Authorization": f"Bearer {key}"}


def unstated(operation: Any, not_in_a_schema: dict[str, str]) -> list[Any]:
    """The check to leave out where an operation refuses some of what its description allows."""
    return [positive_data_acceptance] if operation.label in not_in_a_schema else []
