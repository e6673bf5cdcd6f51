"""The Qdrant client: a server, or qdrant-client's local mode behind the same calls."""

import asyncio
import logging
import os
import shutil
import threading
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpcore
import httpx
import msgspec
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from aistack.errors import ConflictError, UnavailableError
from aistack.kit import flock, tracing
from aistack.kit.tasks import heed_cancellation
from aistack.settings import schema
from aistack.settings.load import read_secret
from aistack.stores.qdrant_queries import KEEP_S, Queries, Scored

log = logging.getLogger(__name__)

T = TypeVar("T")
Call = Callable[[AsyncQdrantClient], Coroutine[Any, Any, T]]

HTTP_SERVER_ERROR = 500
_CONNECTIONS = httpx.Limits(max_keepalive_connections=32, keepalive_expiry=KEEP_S)
"""Kept, which qdrant-client by itself does not do on loopback."""


class Qdrant:
    """Runs calls on an `AsyncQdrantClient` and translates its errors.

    Local mode computes inside the call, so it gets a thread with an event loop of its own: a
    search must not stop the server's loop.
    """

    def __init__(self, settings: schema.Qdrant) -> None:
        self._settings = settings
        self._client: AsyncQdrantClient | None = None
        self._queries: Queries | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._opening = asyncio.Lock()
        self.broken = False
        """Set by whoever watches: while it is, calls fail at once instead of after the time-out."""

    @property
    def is_local(self) -> bool:
        """Whether this is local mode."""
        return self._settings.path is not None

    async def _open(self) -> None:
        """Make the client, at the first call.

        Local mode's folder has one user at a time; a process that never searches or indexes must
        not be it.
        """
        if self.is_local:
            client = await asyncio.to_thread(self._local_client)
            # Behind it: each try at a folder that is in use would leave a thread.
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="qdrant-local", daemon=True
            )
            self._thread.start()
            self._client = client
            return
        key_file, url = self._settings.api_key_file, self._settings.url or ""
        key = read_secret(key_file, "qdrant.api_key_file") if key_file else None
        self._queries = Queries(url, key, self._settings.timeout_s)
        with warnings.catch_warnings():
            # "Api key is used with an insecure connection": loopback, or the operator's choice.
            warnings.simplefilter("ignore", UserWarning)
            self._client = AsyncQdrantClient(
                url=url,
                api_key=key,
                timeout=max(1, round(self._settings.timeout_s)),
                check_compatibility=False,  # asks the server from the constructor
                limits=_CONNECTIONS,
            )

    def _local_client(self) -> AsyncQdrantClient:
        path = Path(self._settings.path or "")
        busy = f"{path} is in use by another process: local mode has one user"
        try:
            try:
                return AsyncQdrantClient(path=str(path), force_disable_check_same_thread=True)
            except ValueError:
                # qdrant-client does not write its meta.json atomically: a kill can leave half of
                # it. The index is derived data; the indexer fills the empty one from PostgreSQL.
                # But it reads before it locks: another process may be writing it just now.
                with flock.held(os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o600), busy):
                    log.warning("the local index is damaged; it is made anew")
                    shutil.rmtree(path)
                return AsyncQdrantClient(path=str(path), force_disable_check_same_thread=True)
        except (ConflictError, RuntimeError) as exc:
            raise UnavailableError(busy) from exc

    async def close(self) -> None:
        """Close the client and end local mode's thread."""
        if self._client is not None:
            client, self._client = self._client, None
            await self._dispatch(client.close())
        if self._queries is not None:
            queries, self._queries = self._queries, None
            await queries.close()
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            await asyncio.to_thread(self._thread.join)
            self._loop.close()
            self._loop = None

    async def run(self, call: Call[T]) -> T:
        """Await ``call(client)``; raises `UnavailableError` where the server does not answer."""
        self._refuse_if_broken()
        return await self._run(call)

    async def query(
        self, index: str, requests: Sequence[models.QueryRequest]
    ) -> list[list[Scored]]:
        """The points that each search finds, in one round trip, in the engine's order.

        Raises:
            UnavailableError: the server does not answer, or refuses to.
            UnexpectedResponse: there is no such index, or a request is wrong; local mode says
                that by `ValueError`.
        """
        self._refuse_if_broken()
        client = await self._opened()
        with _translated(), tracing.call(*_told("Vectors.search")):
            if self._queries is None:
                answers = await self._dispatch(client.query_batch_points(index, requests))
                found = [[Scored(_id(p.id), p.score) for p in answer.points] for answer in answers]
            else:
                found = await self._queries.ask(index, requests)
        heed_cancellation()
        return found

    def _refuse_if_broken(self) -> None:
        if self.broken:
            raise UnavailableError("the index does not answer")

    async def _opened(self) -> AsyncQdrantClient:
        if self._client is None:
            async with self._opening:
                if self._client is None:
                    await self._open()
        if self._client is None:
            raise UnavailableError("the index is closed")
        return self._client

    async def _run(self, call: Call[T]) -> T:
        client = await self._opened()
        name = getattr(call, "__qualname__", "").partition(".<locals>")[0] or "call"
        with _translated(), tracing.call(*_told(name)):
            answer = await self._dispatch(call(client))
        heed_cancellation()
        return answer

    def _dispatch(self, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        if self._loop is None:
            return work
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def ping(self) -> None:
        """Raise `UnavailableError` unless the index answers."""
        await self._run(lambda client: client.get_collections())


@contextmanager
def _translated() -> Iterator[None]:
    """Turn errors about the connection and the server's health into ours."""
    try:
        yield
    except (
        ResponseHandlingException,
        httpx.TransportError,
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        msgspec.DecodeError,
    ) as exc:
        raise UnavailableError("the index does not answer") from exc
    except UnexpectedResponse as exc:
        if (exc.status_code or 0) >= HTTP_SERVER_ERROR or exc.status_code in {401, 403}:
            raise UnavailableError("the index refuses to answer") from exc
        raise


def _id(given: Any) -> int | str:
    return given if isinstance(given, int) else str(given)


def _told(name: str) -> tuple[str, dict[str, str]]:
    """A span's name and attributes: who asks says what is asked."""
    return f"qdrant {name}", {"db.system.name": "qdrant", "db.operation.name": name}
