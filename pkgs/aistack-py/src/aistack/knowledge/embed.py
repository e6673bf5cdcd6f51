"""Embeddings by any OpenAI-compatible endpoint, cached by model and text."""

import asyncio
import hashlib
import math
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from aistack.errors import ConfigError, InvalidError, UnavailableError
from aistack.settings import schema
from aistack.settings.load import read_secret
from aistack.stores.redis import Redis

Vector = list[float]
_ATTEMPTS = 3
_QUESTIONS_KEPT = 1024
_QUESTION_TTL_S = 3600


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
        self._questions: OrderedDict[str, Vector] = OrderedDict()

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

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        """One vector a text, in order, in batches of ``embeddings.batch_size``."""
        size, out = self._settings.batch_size, []
        for start in range(0, len(texts), size):
            batch = texts[start : start + size]
            out += await self._ask(batch, timeout_s=self._settings.timeout_s)
        return out

    async def question(self, text: str) -> Vector:
        """The vector of a question, from a cache where it was asked before."""
        name = f"aistack:embedding:{text_hash(self.model or '', text).hex()}"
        if name in self._questions:
            self._questions.move_to_end(name)
            return self._questions[name]
        packed = await self._redis.get(name)
        vector = unpack(packed) if packed else []
        if len(vector) != self._settings.dimension:
            (vector,) = await self._ask([text], timeout_s=self._settings.query_timeout_s)
            await self._redis.set(name, pack(vector), ttl_s=_QUESTION_TTL_S)
        self._questions[name] = vector
        if len(self._questions) > _QUESTIONS_KEPT:
            self._questions.popitem(last=False)
        return vector

    async def _ask(self, texts: Sequence[str], *, timeout_s: float) -> list[Vector]:
        if self._client is None:
            raise ConfigError("set embeddings.endpoint to search by meaning")
        body = {"model": self._settings.model, "input": list(texts), "encoding_format": "float"}
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._post(body)
        except TimeoutError as exc:
            raise UnavailableError("the embedding endpoint does not answer in time") from exc
        items = sorted(answer.data, key=lambda item: item.index)
        if len(items) != len(texts):
            raise UnavailableError("the embedding endpoint left out some texts")
        return [self._checked(item.embedding) for item in items]

    async def _post(self, body: dict[str, Any]) -> _Answer:
        if self._client is None:
            raise ConfigError("set embeddings.endpoint to search by meaning")
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(0.2 * 4**attempt)
            try:
                response = await self._client.post("embeddings", json=body, timeout=None)
            except httpx.TransportError:
                continue
            if response.status_code in {408, 429} or response.is_server_error:
                continue
            if response.status_code in {401, 403, 404}:
                raise ConfigError(
                    f"the embedding endpoint answers {response.status_code}; check "
                    "embeddings.endpoint, embeddings.model and embeddings.api_key_file"
                )
            if response.is_error:
                raise InvalidError(
                    f"the embedding endpoint refuses the text ({response.status_code})"
                )
            try:
                return msgspec.json.decode(response.content, type=_Answer)
            except msgspec.DecodeError as exc:
                raise UnavailableError("the embedding endpoint's answer has no vectors") from exc
        raise UnavailableError("the embedding endpoint does not answer")

    def _checked(self, vector: Vector) -> Vector:
        if len(vector) != self._settings.dimension:
            raise ConfigError(
                f"{self._settings.model} gives vectors of {len(vector)} numbers; "
                f"embeddings.dimension says {self._settings.dimension}: correct it, "
                "then run aistack reindex"
            )
        norm = math.sqrt(math.fsum(x * x for x in vector))
        if not math.isfinite(norm) or norm == 0:
            # A zero vector would be near to nothing and to everything, for ever.
            raise UnavailableError("the embedding endpoint gave a vector without direction")
        return vector


def text_hash(model: str, text: str) -> bytes:
    """The name of a text's embedding in a cache."""
    return hashlib.sha256(f"{model}\0{text}".encode()).digest()


def pack(vector: Vector) -> bytes:
    """A vector as 32-bit floats."""
    return array("f", vector).tobytes()


def unpack(packed: bytes) -> Vector:
    """The inverse of `pack`, to the precision of 32 bits."""
    return array("f", packed).tolist()
