"""Snapshots of Qdrant collections, by its REST interface: the client has no call to fetch one."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from aistack.errors import ConfigError, UnavailableError
from aistack.settings import schema
from aistack.settings.load import read_secret

_SLOW_S = 3600.0
"""A snapshot is made, and taken in, while its request waits."""
_PIECE = 1024 * 1024


class Snapshots:
    """The collections of one server that are ours, and their snapshots.

    Raises, in every call, `UnavailableError`: the server does not answer, or refuses.
    """

    def __init__(self, client: httpx.AsyncClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: schema.Qdrant) -> AsyncIterator[Self]:
        """Connections to the server of the settings.

        Raises:
            ConfigError: there is no server, but the client's local mode.
        """
        if settings.url is None or settings.path is not None:
            raise ConfigError("an index in qdrant.path has no snapshots: it is only ever rebuilt")
        headers = {}
        if settings.api_key_file:
            headers["api-key"] = read_secret(settings.api_key_file, "qdrant.api_key_file")
        timeout = httpx.Timeout(settings.timeout_s, read=_SLOW_S, write=_SLOW_S)
        async with httpx.AsyncClient(
            base_url=settings.url, headers=headers, timeout=timeout, trust_env=False
        ) as client:
            yield cls(client, settings.prefix)

    async def version(self) -> str:
        """The server's version, as in 1.19.2."""
        return str((await self._ask("GET", "/", whole=True)).get("version", "unknown"))

    async def collections(self) -> list[str]:
        """Our collections, by the prefix of their names."""
        answer = await self._ask("GET", "/collections")
        names = (one["name"] for one in answer["collections"])
        return sorted(name for name in names if name.startswith(f"{self._prefix}-"))

    async def aliases(self) -> dict[str, str]:
        """Alias to collection, of ours: no snapshot holds them."""
        answer = await self._ask("GET", "/aliases")
        ours = set(await self.collections())
        found = {one["alias_name"]: one["collection_name"] for one in answer["aliases"]}
        return {alias: name for alias, name in found.items() if name in ours}

    async def schema(self, collection: str) -> dict[str, Any]:
        """With what a collection was made, and which fields of payloads it indexes."""
        answer = await self._ask("GET", f"/collections/{collection}")
        return {key: answer.get(key) for key in ("config", "payload_schema")}

    async def count(self, collection: str) -> int:
        """Exact number of points."""
        answer = await self._ask("POST", f"/collections/{collection}/points/count", {"exact": True})
        return int(answer["count"])

    async def some(self, collection: str, limit: int) -> list[str]:
        """Ids of some points."""
        body = {"limit": limit, "with_payload": False, "with_vector": False}
        answer = await self._ask("POST", f"/collections/{collection}/points/scroll", body)
        return [str(one["id"]) for one in answer["points"] if isinstance(one["id"], str)]

    async def nearest(self, collection: str, point: str, limit: int) -> list[str]:
        """Ids of the points nearest to one by its words, best first.

        By words, since a search of sparse vectors is always exact.
        """
        body = {"query": point, "using": "bm25", "limit": limit}
        answer = await self._ask("POST", f"/collections/{collection}/points/query", body)
        ranked = sorted(answer["points"], key=lambda one: (-one["score"], str(one["id"])))
        return [str(one["id"]) for one in ranked]

    async def names(self, collection: str) -> list[str]:
        """Snapshots of a collection that lie on the server."""
        answer = await self._ask("GET", f"/collections/{collection}/snapshots")
        return [one["name"] for one in answer]

    async def create(self, collection: str) -> tuple[str, str | None]:
        """Make a snapshot; returns its name, and the SHA-256 where the server knows it."""
        answer = await self._ask("POST", f"/collections/{collection}/snapshots?wait=true")
        return answer["name"], answer.get("checksum")

    async def fetch(self, collection: str, name: str, into: Path) -> str:
        """Fetch a snapshot into a file; returns the SHA-256 of what came."""
        digest = hashlib.sha256()
        path = f"/collections/{collection}/snapshots/{name}"
        try:
            async with self._client.stream("GET", path) as answer:
                answer.raise_for_status()
                with into.open("wb") as file:
                    async for piece in answer.aiter_bytes(_PIECE):
                        digest.update(piece)
                        file.write(piece)
        except httpx.HTTPError as exc:
            raise UnavailableError(f"the snapshot of {collection} could not be fetched") from exc
        except OSError as exc:
            raise UnavailableError(f"{into.parent} cannot be written: {exc.strerror}") from exc
        return digest.hexdigest()

    async def remove(self, collection: str, name: str) -> None:
        """Delete a snapshot from the server."""
        await self._ask("DELETE", f"/collections/{collection}/snapshots/{name}?wait=true")

    async def recover(self, collection: str, file: Path, sha256: str) -> None:
        """Make a collection what a snapshot holds, whatever it is now.

        ``priority=snapshot``: with Qdrant's default a new collection stays empty.
        """
        path = f"/collections/{collection}/snapshots/upload"
        query = {"wait": "true", "priority": "snapshot", "checksum": sha256}
        try:
            with file.open("rb") as content:
                answer = await self._client.post(path, params=query, files={"snapshot": content})
                answer.raise_for_status()
        except httpx.HTTPStatusError as exc:
            told = exc.response.text[:300]
            raise UnavailableError(f"Qdrant refuses the snapshot of {collection}: {told}") from exc
        except httpx.HTTPError as exc:
            raise UnavailableError(f"Qdrant did not take the snapshot of {collection}") from exc

    async def drop(self, collection: str) -> None:
        """Delete a collection."""
        await self._ask("DELETE", f"/collections/{collection}")

    async def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, whole: bool = False
    ) -> Any:
        try:
            answer = await self._client.request(method, path, json=body)
            answer.raise_for_status()
            found = answer.json()
        except httpx.HTTPStatusError as exc:
            status = exc.response.status_code
            raise UnavailableError(f"Qdrant answers {status} to {method} {path}") from exc
        except (httpx.HTTPError, ValueError) as exc:
            raise UnavailableError("Qdrant does not answer (qdrant.url)") from exc
        return found if whole else found["result"]
