"""Things the coordinator's tests share."""

import hashlib
import re
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from aistack.access.model import LOCAL_OPERATOR, Principal
from aistack.coordinator.model import Interaction, NewInteraction
from aistack.wiring import Stack

DIMENSION = 64
# Words of one meaning share a direction: what a model would know.
SAME = {"restrict": "limit", "bound": "limit", "clients": "requests", "callers": "requests"}
IGNORED = {"how", "do", "i", "the", "to", "a", "can", "my", "we"}

QUESTION = "how do i limit requests in nginx"
ANSWER = "Use limit_req_zone with a shared zone of ten megabytes and then limit_req in the location"
OTHER_ANSWER = "Put haproxy in front and track rates by a stick-table of source addresses"


class ToyEndpoint:
    """An OpenAI-compatible endpoint; ``status`` other than 200 makes it fail."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200

    def vector(self, text: str) -> list[float]:
        out = [0.001] * DIMENSION
        for word in re.findall(r"\w+", text.lower()):
            if word not in IGNORED:
                name = SAME.get(word, word)
                out[hashlib.sha256(name.encode()).digest()[0] % DIMENSION] += 1
        return out

    async def __call__(self, request: Request) -> Response:
        if self.status != 200:
            return Response(status_code=self.status)
        body: dict[str, Any] = msgspec.json.decode(await request.body())
        data = [{"index": i, "embedding": self.vector(t)} for i, t in enumerate(body["input"])]
        return JSONResponse({"data": data})


async def tell(
    stack: Stack,
    question: str = QUESTION,
    response: str = ANSWER,
    *,
    principal: Principal = LOCAL_OPERATOR,
    drain: bool = True,
    **more: Any,
) -> Interaction:
    """Record an interaction, a success unless said otherwise, and bring the index along."""
    new = NewInteraction(question=question, response=response, **{"outcome": "success", **more})
    recorded = await stack.coordinator.interactions.record(principal, new)
    if drain:
        await stack.indexer.drain()
    return recorded.interaction


async def rows(stack: Stack, query: str) -> list[dict[str, Any]]:
    async with stack.postgres.read() as conn:
        return await (await conn.execute(query.encode())).fetchall()


def bound_to(*collections: str, name: str = "bound") -> Principal:
    return Principal(name, name, frozenset({"admin"}), frozenset(collections))
