"""Searches on a Qdrant server, without qdrant-client on the way.

A search spends more time in that client (its models, httpx) than in the engine. This asks the same
path of Qdrant's REST API and reads ids and scores alone.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

import httpcore
import httpx
import msgspec
from msgspec import Struct
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

_PORT = 6333
"""Of an URL without one, as qdrant-client takes it."""
_AT_ONCE = 100
"""Searches; the others wait, as long as for an answer."""
KEEP_S = 2.0
"""Qdrant ends a connection that lies idle for 5 s; ours are gone before that, so that none is ended
under a request on its way."""
_OK = 200
Headers = list[tuple[bytes, bytes]]


class Scored(Struct, frozen=True):
    """A point that was found."""

    id: int | str
    score: float


class _Found(Struct):
    points: list[Scored]


class _Answer(Struct):
    result: list[_Found]


class Queries:
    """Connections that only search.

    httpcore's own pool looks at every connection for every request, a system call each: with 64
    at once that costs more than the rest. Here the last one used is taken first, and of the others
    the one that lies idle longest is looked at.
    """

    def __init__(self, url: str, api_key: str | None, timeout_s: float) -> None:
        parts = urlsplit(url)
        host = parts.netloc if parts.port else f"{parts.netloc}:{_PORT}"
        self._base = f"{parts.scheme}://{host}{parts.path.rstrip('/')}/collections/"
        self._headers = [("Host", host), ("Content-Type", "application/json")]
        if api_key:
            self._headers.append(("api-key", api_key))
        self._timeout_s = timeout_s
        self._extensions = {"timeout": dict.fromkeys(("connect", "read", "write"), timeout_s)}
        self._tls = httpx.create_ssl_context() if parts.scheme == "https" else None
        self._decoder = msgspec.json.Decoder(_Answer)
        self._idle: deque[httpcore.AsyncHTTPConnection] = deque()
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        """Close the connections."""
        while self._idle:
            await self._idle.pop().aclose()

    async def ask(self, index: str, requests: Sequence[models.QueryRequest]) -> list[list[Scored]]:
        """The points of each search, in the engine's order.

        Raises:
            UnexpectedResponse: any status but 200.
            httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError: no answer.
            msgspec.DecodeError: an answer that is none of Qdrant's.
        """
        searches = ",".join(request.model_dump_json(exclude_none=True) for request in requests)
        body = f'{{"searches":[{searches}]}}'.encode()
        request = httpcore.Request(
            "POST",
            f"{self._base}{quote(index, safe='')}/points/query/batch",
            headers=[*self._headers, ("Content-Length", str(len(body)))],
            content=body,
            extensions=self._extensions,
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._at_once.acquire()
        except TimeoutError as exc:
            raise httpcore.PoolTimeout from exc
        try:
            status, headers, content = await self._send(request)
        finally:
            self._at_once.release()
        if status != _OK:
            raise UnexpectedResponse(status, "", content, httpx.Headers(headers))
        return [found.points for found in self._decoder.decode(content).result]

    async def _send(self, request: httpcore.Request) -> tuple[int, Headers, bytes]:
        connection = await self._connection(request.url.origin)
        try:
            response = await connection.handle_async_request(request)
            try:
                content = await response.aread()
            finally:
                await response.aclose()
        except BaseException:  # a cancelled one, too, is in the midst of an answer
            await connection.aclose()
            raise
        if connection.is_idle():
            self._idle.append(connection)
        return response.status, response.headers, content

    async def _connection(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        while self._idle and self._idle[0].has_expired():
            await self._idle.popleft().aclose()
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(origin, self._tls, keepalive_expiry=KEEP_S)
