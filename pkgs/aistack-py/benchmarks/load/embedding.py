"""A cheap, deterministic embedding that needs no model, and an OpenAI-compatible endpoint of it.

    python embedding.py PORT

A word adds to two of the numbers, up or down, by its hash: texts that share words are near. It
finds little; what it must do here is to cost both sides the same. Standard library alone, for it
also runs where mcp-server-qdrant is installed.
"""

import math
import re
import sys
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any
from zlib import crc32

DIMENSION = 384
MODEL = "words"
_WORD = re.compile(r"\w+")


def embed(text: str) -> list[float]:
    """The vector of a text: `DIMENSION` numbers of length 1."""
    vector = [0.0] * DIMENSION
    for word in _WORD.findall(text.lower()):
        for place, sign in _places(word):
            vector[place] += sign
    length = math.hypot(*vector)
    if length == 0:  # no words: a direction is needed all the same
        return [1 / math.sqrt(DIMENSION)] * DIMENSION
    return [number / length for number in vector]


@lru_cache(maxsize=100_000)
def _places(word: str) -> tuple[tuple[int, float], ...]:
    code = crc32(word.encode())
    first, second = code & 0xFFFF, code >> 16
    return (
        (first % DIMENSION, 1.0 if first & 0x8000 else -1.0),
        (second % DIMENSION, 1.0 if second & 0x8000 else -1.0),
    )


def app() -> Callable[..., Awaitable[None]]:
    """The endpoint, as an ASGI app."""
    import msgspec  # not where mcp-server-qdrant is

    async def serve(_scope: Any, receive: Any, send: Any) -> None:
        raw, more = b"", True
        while more:
            message = await receive()
            raw += message.get("body", b"")
            more = message.get("more_body", False)
        texts = msgspec.json.decode(raw)["input"] if raw else []
        data = [{"index": i, "embedding": embed(text)} for i, text in enumerate(texts)]
        body = msgspec.json.encode({"object": "list", "model": MODEL, "data": data})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return serve


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(
        app(),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=600,
    )
