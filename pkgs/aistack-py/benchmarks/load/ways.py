"""The ways to ask that take turns: the bare engine, AIDB by HTTP and MCP, mcp-server-qdrant."""

import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from client import Way
from edge import NAME, RIVAL_MCP
from embedding import embed

from aistack.knowledge import bm25
from aistack.knowledge.terms import terms

HITS = 10
_encode = msgspec.json.encode


@dataclass(frozen=True)
class Ports:
    """Where everything listens; all but the engine behind TLS."""

    engine: int
    unlimited: int
    limited: int
    rival: int | None


@dataclass(frozen=True)
class Asked:
    """What all ways ask of."""

    words: list[list[str]]
    """Words of each passage: a question is some words of one of them."""
    key: str
    collection: str
    mirror: str
    """The engine's collection that holds vectors and texts."""

    def question(self, chance: random.Random) -> str:
        """Two to five words of one passage; there are so many that no cache knows them."""
        return " ".join(chance.sample(chance.choice(self.words), chance.randint(2, 5)))


def all_ways(ports: Ports, asked: Asked, tls: ssl.SSLContext) -> dict[str, Way]:
    """By name; those of the first half are lexical, the others ask by meaning."""
    bare = f"/collections/{asked.mirror}/points/query"

    def engine(make: Callable[[str], dict[str, object]], least: int) -> Way:
        def request(chance: random.Random, _session: bytes) -> bytes:
            query = make(asked.question(chance)) | {"limit": HITS, "with_payload": True}
            return _post(bare, _encode(query))

        return Way(ports.engine, None, NAME, request, _counts(b'"version":', least))

    def http(port: int, mode: str, least: int) -> Way:
        authorization = f"Authorization: Bearer {asked.key}\r\n"

        def request(chance: random.Random, _session: bytes) -> bytes:
            query = {"query": asked.question(chance), "collection": asked.collection, "mode": mode}
            return _post("/v1/query", _encode(query), authorization)

        return Way(port, tls, NAME, request, _counts(b'"chunk_id":', least))

    def mcp(port: int, mode: str, least: int) -> Way:
        more = (
            f"Authorization: Bearer {asked.key}\r\n"
            "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-06-18\r\n"
        )

        def request(chance: random.Random, _session: bytes) -> bytes:
            query = {"query": asked.question(chance), "collection": asked.collection, "mode": mode}
            return _post("/mcp", _call("search", query), more)

        return Way(port, tls, NAME, request, _counts(b'"chunk_id":', least))

    def sparse(text: str) -> dict[str, object]:
        return {"query": msgspec.to_builtins(bm25.question_vector(terms(text))), "using": "bm25"}

    def dense(text: str) -> dict[str, object]:
        return {"query": embed(text), "using": "fast-words"}

    # Rare words may be in fewer passages than ten; near, in some measure, are always ten.
    ways = {
        "engine": engine(sparse, 1),
        "HTTP": http(ports.unlimited, "lexical", 1),
        "HTTP, limits": http(ports.limited, "lexical", 1),
        "MCP": mcp(ports.unlimited, "lexical", 1),
        "MCP, limits": mcp(ports.limited, "lexical", 1),
        "dense: engine": engine(dense, HITS),
        "dense: HTTP": http(ports.unlimited, "dense", HITS),
        "dense: MCP": mcp(ports.unlimited, "dense", HITS),
    }
    if ports.rival is not None:
        ways["dense: mcp-server-qdrant"] = _rival(ports.rival, asked, tls)
    return ways


def _rival(port: int, asked: Asked, tls: ssl.SSLContext) -> Way:
    def more(session: bytes) -> str:
        kept = f"Mcp-Session-Id: {session.decode()}\r\n" if session else ""
        return f"Accept: application/json, text/event-stream\r\n{kept}"

    def request(chance: random.Random, session: bytes) -> bytes:
        return _post(
            RIVAL_MCP, _call("qdrant-find", {"query": asked.question(chance)}), more(session)
        )

    def initialize(session: bytes) -> bytes:
        params = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "load", "version": "1"},
        }
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        return _post(RIVAL_MCP, _encode(message), more(session))

    def initialized(session: bytes) -> bytes:
        message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        return _post(RIVAL_MCP, _encode(message), more(session))

    def farewell(session: bytes) -> bytes:
        return _post(RIVAL_MCP, b"", more(session)).replace(b"POST", b"DELETE", 1)

    right = _counts(b"<entry>", HITS)
    return Way(port, tls, NAME, request, right, (initialize, initialized), farewell)


def _call(tool: str, arguments: dict[str, str]) -> bytes:
    params = {"name": tool, "arguments": arguments}
    return _encode({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


def _counts(mark: bytes, least: int) -> Callable[[bytes], bool]:
    return lambda body: body.count(mark) >= least


def _post(path: str, body: bytes, more: str = "") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\n{more}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
