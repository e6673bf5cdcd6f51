"""The Qdrant client: a server, or qdrant-client's local mode behind the same calls."""

import asyncio
import logging
import shutil
import threading
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import httpx
from qdrant_client import AsyncQdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from aistack.errors import UnavailableError
from aistack.kit import tracing
from aistack.kit.tasks import heed_cancellation
from aistack.settings import schema
from aistack.settings.load import read_secret

log = logging.getLogger(__name__)

T = TypeVar("T")
Call = Callable[[AsyncQdrantClient], Coroutine[Any, Any, T]]

HTTP_SERVER_ERROR = 500


class Qdrant:
    """Runs calls on an `AsyncQdrantClient` and translates its errors.

    Local mode computes inside the call, so it gets a thread with an event loop of its own: a
    search must not stop the server's loop.
    """

    def __init__(self, settings: schema.Qdrant) -> None:
        self._settings = settings
        self._client: AsyncQdrantClient | None = None
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
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="qdrant-local", daemon=True
            )
            self._thread.start()
            self._client = await asyncio.to_thread(self._local_client)
            return
        key_file = self._settings.api_key_file
        with warnings.catch_warnings():
            # "Api key is used with an insecure connection": loopback, or the operator's choice.
            warnings.simplefilter("ignore", UserWarning)
            self._client = AsyncQdrantClient(
                url=self._settings.url,
                api_key=read_secret(key_file, "qdrant.api_key_file") if key_file else None,
                timeout=max(1, round(self._settings.timeout_s)),
                check_compatibility=False,  # asks the server from the constructor
            )

    def _local_client(self) -> AsyncQdrantClient:
        path = Path(self._settings.path or "")
        try:
            return AsyncQdrantClient(path=str(path), force_disable_check_same_thread=True)
        except ValueError:
            # qdrant-client does not write its meta.json atomically: a kill can leave half of it.
            # The index is derived data; the indexer fills the empty one from PostgreSQL.
            log.warning("the local index is damaged; it is made anew")
            shutil.rmtree(path)
            return AsyncQdrantClient(path=str(path), force_disable_check_same_thread=True)
        except RuntimeError as exc:
            raise UnavailableError(
                f"{self._settings.path} is in use by another process: local mode has one user"
            ) from exc

    async def close(self) -> None:
        """Close the client and end local mode's thread."""
        if self._client is not None:
            client, self._client = self._client, None
            await self._dispatch(client.close())
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            await asyncio.to_thread(self._thread.join)
            self._loop.close()
            self._loop = None

    async def run(self, call: Call[T]) -> T:
        """Await ``call(client)``; raises `UnavailableError` where the server does not answer."""
        if self.broken:
            raise UnavailableError("the index does not answer")
        return await self._run(call)

    async def _run(self, call: Call[T]) -> T:
        async with self._opening:
            if self._client is None:
                await self._open()
        if self._client is None:
            raise UnavailableError("the index is closed")
        try:
            with tracing.call(*_told(call)):
                answer = await self._dispatch(call(self._client))
        except (ResponseHandlingException, httpx.TransportError) as exc:
            raise UnavailableError("the index does not answer") from exc
        except UnexpectedResponse as exc:
            if (exc.status_code or 0) >= HTTP_SERVER_ERROR or exc.status_code in {401, 403}:
                raise UnavailableError("the index refuses to answer") from exc
            raise
        heed_cancellation()
        return answer

    def _dispatch(self, work: Coroutine[Any, Any, T]) -> Awaitable[T]:
        if self._loop is None:
            return work
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def ping(self) -> None:
        """Raise `UnavailableError` unless the index answers."""
        await self._run(lambda client: client.get_collections())


def _told(call: Call[Any]) -> tuple[str, dict[str, str]]:
    """A span's name and attributes: who asks says what is asked."""
    name = getattr(call, "__qualname__", "").partition(".<locals>")[0] or "call"
    return f"qdrant {name}", {"db.system.name": "qdrant", "db.operation.name": name}
