"""A small server on Qdrant's own engine (PyPI's qdrant-edge-py), where no Qdrant is installed.

    python engine.py PORT FOLDER

It has what the run asks for and no more: collections, points, filters by keyword, queries. The
engine computes within the call, on the loop: a search takes it less than the change to a thread.
"""

import re
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import qdrant_edge as edge
import uvicorn

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

_PATH = re.compile(r"/collections/(?P<name>[^/]+)(?P<rest>/.*)?$")
_DISTANCES = {"Cosine": edge.Distance.Cosine, "Dot": edge.Distance.Dot}
_SCHEMAS = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
}


class UnknownError(Exception):
    """No such collection or operation."""


class Engine:
    """The collections of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shards: dict[str, edge.EdgeShard] = {}

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """The result of one request."""
        if path == "/collections":
            return {"collections": [{"name": name} for name in self._shards]}
        found = _PATH.match(path)
        if found is None:
            raise UnknownError(path)
        name, rest = found["name"], found["rest"] or ""
        if rest == "/exists":
            return {"exists": name in self._shards}
        if (method, rest) == ("PUT", ""):
            return self._create(name, body)
        if name not in self._shards:
            raise UnknownError(name)
        if (method, rest) == ("DELETE", ""):
            self._shards.pop(name).close()
            return True
        return self._points(self._shards[name], f"{method} {rest}", body)

    def _create(self, name: str, body: dict[str, Any]) -> bool:
        folder = self._folder / uuid.uuid4().hex
        folder.mkdir(parents=True)
        dense = {
            key: edge.EdgeVectorParams(value["size"], _DISTANCES[value["distance"]])
            for key, value in (body.get("vectors") or {}).items()
        }
        sparse = {
            key: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)
            for key in body.get("sparse_vectors") or {}
        }
        config = edge.EdgeConfig(vectors=dense or None, sparse_vectors=sparse or None)
        self._shards[name] = edge.EdgeShard.create(str(folder), config)
        return True

    def _points(self, shard: edge.EdgeShard, what: str, body: dict[str, Any]) -> Any:
        match what:
            case "PUT /index":
                schema = _SCHEMAS[body["field_schema"]]
                shard.update(edge.UpdateOperation.create_field_index(body["field_name"], schema))
            case "PUT /points":
                points = [
                    edge.Point(uuid.UUID(point["id"]), _vectors(point["vector"]), point["payload"])
                    for point in body["points"]
                ]
                shard.update(edge.UpdateOperation.upsert_points(points))
            case "POST /points/delete" if "points" in body:
                ids = [uuid.UUID(item) for item in body["points"]]
                shard.update(edge.UpdateOperation.delete_points(ids))
            case "POST /points/delete":
                chosen = _filter(body["filter"])
                shard.update(edge.UpdateOperation.delete_points_by_filter(chosen))
            case "POST /points/count":
                return {
                    "count": shard.count(
                        edge.CountRequest(exact=True, filter=_filter(body.get("filter")))
                    )
                }
            case "POST /points/query":
                return _query(shard, body)
            case "POST /points/query/batch":
                return [_query(shard, search) for search in body["searches"]]
            case _:
                raise UnknownError(what)
        return {"operation_id": 0, "status": "completed"}


def _query(shard: edge.EdgeShard, body: dict[str, Any]) -> dict[str, Any]:
    given = body["query"]
    given = given.get("nearest", given) if isinstance(given, dict) else given
    payload = bool(body.get("with_payload"))
    request = edge.QueryRequest(
        limit=body.get("limit") or 10,
        offset=0,
        query=edge.Query.Nearest(_vector(given), using=body["using"]),
        prefetches=None,
        filter=_filter(body.get("filter")),
        params=None,
        score_threshold=None,
        with_payload=payload,
        with_vector=False,
    )
    points = []
    for found in shard.query(request):
        point = {"id": str(found.id), "version": found.version, "score": found.score}
        points.append(point | {"payload": found.payload} if payload else point)
    return {"points": points}


def _vectors(given: dict[str, Any]) -> dict[str, Any]:
    return {name: _vector(value) for name, value in given.items()}


def _vector(given: Any) -> Any:
    if isinstance(given, dict):
        return edge.SparseVector(given["indices"], [float(value) for value in given["values"]])
    return [float(value) for value in given]


def _filter(given: dict[str, Any] | None) -> edge.Filter | None:
    if not given:
        return None
    parts = {}
    for name in ("must", "should", "must_not"):
        conditions = given.get(name) or []
        listed = conditions if isinstance(conditions, list) else [conditions]
        parts[name] = [_condition(condition) for condition in listed] or None
    return edge.Filter(**parts)


def _condition(given: dict[str, Any]) -> Any:
    if "has_id" in given:
        return edge.HasIdCondition({uuid.UUID(item) for item in given["has_id"]})
    if "key" not in given:
        return _filter(given)
    match = given["match"]
    value = edge.MatchAny(match["any"]) if "any" in match else edge.MatchValue(match["value"])
    return edge.FieldCondition(given["key"], match=value)


def app(engine: Engine) -> Callable[[dict[str, Any], Receive, Send], Awaitable[None]]:
    """The ASGI app."""
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode

    async def serve(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        raw, more = b"", True
        while more:
            message = await receive()
            raw += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            result = engine.answer(scope["method"], scope["path"], decode(raw) if raw else {})
            status, content = 200, {"result": result, "status": "ok", "time": 0.0}
        except UnknownError as exc:
            status, content = 404, {"status": {"error": f"Not found: {exc}"}, "time": 0.0}
        body = encode(content)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return serve


if __name__ == "__main__":
    uvicorn.run(
        app(Engine(Path(sys.argv[2]))),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=600,
    )
