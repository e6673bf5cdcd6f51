"""Embeddings by any OpenAI-compatible endpoint, cached by model and text.

What the endpoint does wrong is never the asker's fault nor a document's, but for a text that it
refuses. All the rest is an `UnavailableError`: a question is answered 503, and the indexer waits
with its batch and blames no document.
"""

import asyncio
import contextlib
import hashlib
import logging
import math
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from aistack.errors import ConfigError, InvalidError, UnavailableError
from aistack.kit import tracing
from aistack.settings import schema
from aistack.settings.load import read_secret
from aistack.stores.redis import Redis

log = logging.getLogger(__name__)

Vector = list[float]
_ATTEMPTS = 3
_QUESTIONS_KEPT = 1024
_QUESTION_TTL_S = 3600
_REFUSES_TEXT = frozenset({400, 413, 422})
"""Statuses that speak of the text, mostly that it is too long for the model."""
_MISSET_RETRY_S = 60
"""Nobody mends a setting sooner."""
_LONGEST_RETRY_S = 3600
_SHORTEST = 1e-18
"""Length of a vector below which, and above whose inverse, 32-bit floats lose the direction."""


class MissetError(UnavailableError):
    """The endpoint and the settings do not fit; the text is for the administrator alone."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retry_after_s=_MISSET_RETRY_S)


class _Item(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Item]


class Embedder:
    """A client of one endpoint and model.

    Args:
        settings: endpoint, model and dimension; ``enabled`` is False without an endpoint.
        redis: shared cache of question vectors.
    """

    def __init__(self, settings: schema.Embeddings, redis: Redis) -> None:
        self._settings = settings
        self._redis = redis
        self._client: httpx.AsyncClient | None = None
        self._questions: OrderedDict[str, bytes] = OrderedDict()

    @property
    def enabled(self) -> bool:
        """Whether an endpoint is configured."""
        return self._settings.endpoint is not None

    @property
    def model(self) -> str | None:
        """The configured model; None without an endpoint."""
        return self._settings.model if self.enabled else None

    @property
    def dimension(self) -> int | None:
        """The configured length of vectors; None without an endpoint."""
        return self._settings.dimension if self.enabled else None

    @property
    def batch_size(self) -> int:
        """Texts in one request: who asks for more at once gets all of their vectors or none."""
        return self._settings.batch_size

    async def open(self) -> None:
        """Make the HTTP client."""
        s = self._settings
        if s.endpoint is None:
            return
        key = read_secret(s.api_key_file, "embeddings.api_key_file") if s.api_key_file else None
        self._client = httpx.AsyncClient(
            base_url=s.endpoint.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )

    async def close(self) -> None:
        """Close the HTTP client."""
        if self._client is not None:
            await self._client.aclose()

    async def ping(self) -> None:
        """Ask the endpoint for its models: that costs nothing, and it checks the key.

        Raises:
            UnavailableError: no answer, or one that refuses the key. One that knows no such path
                answers all the same.
        """
        if self._client is None:
            raise UnavailableError("the embedding endpoint is closed")
        try:
            answer = await self._client.get("models", timeout=self._settings.query_timeout_s)
        except httpx.HTTPError as exc:
            raise UnavailableError("the embedding endpoint does not answer") from exc
        if answer.is_server_error:
            raise UnavailableError(f"the embedding endpoint answers {answer.status_code}")
        if answer.status_code in {401, 403}:
            raise UnavailableError("the embedding endpoint refuses embeddings.api_key_file")

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        """One vector a text, in order, in batches of ``embeddings.batch_size``.

        Raises:
            InvalidError: the endpoint refuses a text, or gives it a vector without direction.
            UnavailableError: no answer, or none that can be used; `MissetError` names settings.
        """
        size, out = self.batch_size, []
        for start in range(0, len(texts), size):
            batch = texts[start : start + size]
            out += await self._ask(batch, timeout_s=self._settings.timeout_s)
        return out

    async def question(self, text: str) -> Vector:
        """The vector of a question, from a cache where it was asked before.

        Raises:
            InvalidError: the endpoint refuses the text, or gives it no direction.
            UnavailableError: no answer, or none that can be used; why is in the log alone.
        """
        name = f"aistack:embedding:{text_hash(self.model or '', text).hex()}"
        if name in self._questions:
            self._questions.move_to_end(name)
            return unpack(self._questions[name])
        packed = await self._redis.get(name)
        vector = unpack(packed) if packed else []
        if packed is None or len(vector) != self._settings.dimension:
            packed = pack(await self._ask_one(text))
            await self._redis.set(name, packed, ttl_s=_QUESTION_TTL_S)
        self._questions[name] = packed  # as lists of numbers they would take 8 times the memory
        if len(self._questions) > _QUESTIONS_KEPT:
            self._questions.popitem(last=False)
        # The first time, too: with more digits than are kept, equals would come in another order.
        return unpack(packed)

    async def _ask_one(self, text: str) -> Vector:
        """A question's vector; what the settings are, no asker learns."""
        try:
            (vector,) = await self._ask([text], timeout_s=self._settings.query_timeout_s)
        except UnavailableError as exc:
            log.log(
                logging.ERROR if isinstance(exc, MissetError) else logging.WARNING,
                "a question got no vector: %s",
                exc.detail,
            )
            raise UnavailableError(
                "the embedding endpoint gives no vector now; mode lexical works without it",
                retry_after_s=exc.retry_after_s,
            ) from exc
        except InvalidError as exc:
            log.warning("a question got no vector: %s", exc.detail)
            raise InvalidError(
                "the embedding endpoint has no vector for this question: it may be too long for "
                "the model; mode lexical works without it",
                pointer="/query",
            ) from exc
        return vector

    async def _ask(self, texts: Sequence[str], *, timeout_s: float) -> list[Vector]:
        if self._client is None:
            raise ConfigError("set embeddings.endpoint to search by meaning")
        body = {"model": self._settings.model, "input": list(texts), "encoding_format": "float"}
        answer = await _post(self._client, body, timeout_s)
        items = sorted(answer.data, key=lambda item: item.index)
        if len(items) != len(texts):
            raise UnavailableError("the embedding endpoint left out some texts")
        return [self._checked(item.embedding) for item in items]

    def _checked(self, vector: Vector) -> Vector:
        if len(vector) != self._settings.dimension:
            raise MissetError(
                f"{self._settings.model} gives vectors of {len(vector)} numbers; "
                f"embeddings.dimension says {self._settings.dimension}: correct it, "
                "then run aistack reindex"
            )
        if not _SHORTEST <= math.hypot(*vector) <= 1 / _SHORTEST:  # also what is not a number
            # A zero vector would be near to nothing and to everything, for ever.
            raise InvalidError("the embedding endpoint gave a vector without direction")
        return vector


async def _post(client: httpx.AsyncClient, body: dict[str, Any], timeout_s: float) -> _Answer:
    """Ask, and again after a pause where that may help, all within the time."""
    error = UnavailableError(f"the embedding endpoint does not answer within {timeout_s:g} s")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            for attempt in range(_ATTEMPTS):
                if attempt:
                    await asyncio.sleep(0.2 * 4**attempt)
                try:
                    with tracing.call("POST embeddings", {"http.request.method": "POST"}):
                        response = await client.post(
                            "embeddings", json=body, timeout=None, headers=tracing.headers()
                        )
                except httpx.RequestError as exc:
                    reason = type(exc).__name__
                    error = UnavailableError(f"the embedding endpoint does not answer ({reason})")
                    continue
                if response.status_code in {408, 429} or response.is_server_error:
                    error = UnavailableError(
                        f"the embedding endpoint answers {response.status_code}",
                        retry_after_s=_retry_after(response),
                    )
                    continue
                return _read(response)
    raise error


def _read(response: httpx.Response) -> _Answer:
    """The answer's vectors. Its text is not told on: it may repeat the key or the question."""
    status = response.status_code
    if status in _REFUSES_TEXT:
        raise InvalidError(f"the embedding endpoint refuses the text ({status})")
    if not response.is_success:
        raise MissetError(
            f"the embedding endpoint answers {status}; check embeddings.endpoint, "
            "embeddings.model and embeddings.api_key_file"
        )
    try:
        return msgspec.json.decode(response.content, type=_Answer)
    except msgspec.DecodeError as exc:
        raise MissetError(
            f"the embedding endpoint's answer has no vectors ({exc}); check embeddings.endpoint "
            "and embeddings.model"
        ) from exc


def _retry_after(response: httpx.Response) -> int:
    """Whole seconds that the endpoint asks for, up to an hour; 2 where it says none."""
    given = response.headers.get("retry-after", "")
    return min(int(given), _LONGEST_RETRY_S) if given.isdecimal() and len(given) < 9 else 2


def text_hash(model: str, text: str) -> bytes:
    """The name of a text's embedding in a cache."""
    return hashlib.sha256(f"{model}\0{text}".encode()).digest()


def pack(vector: Vector) -> bytes:
    """A vector as 32-bit floats."""
    return array("f", vector).tobytes()


def unpack(packed: bytes) -> Vector:
    """The inverse of `pack`, to the precision of 32 bits."""
    return array("f", packed).tolist()
