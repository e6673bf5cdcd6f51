"""Asks Qdrant without a pause and is cancelled, again and again; fails if it goes on.

Each call opens a connection, and anyio drops one in ten cancellations that come meanwhile.
"""

import asyncio
import contextlib
import random

from aistack.settings import schema
from aistack.stores.qdrant import Qdrant

TRIES = 60
BODY = b'{"result": {"collections": []}, "status": "ok", "time": 0}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Just enough of a Qdrant server."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        await writer.drain()
    writer.close()


async def asks(qdrant: Qdrant) -> None:
    """What works for ever."""
    while True:
        await qdrant.ping()


async def main() -> None:
    """Cancelled once, each must be over; left alone it never is."""
    chance = random.Random(1)  # noqa: S311 - repeatable
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    qdrant = Qdrant(schema.Qdrant(url=f"http://127.0.0.1:{port}"))
    await qdrant.ping()
    for number in range(TRIES):
        task = asyncio.create_task(asks(qdrant))
        await asyncio.sleep(0.005 + 0.01 * chance.random())
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.cancelled(), f"the task went on after cancellation {number}"
    await qdrant.close()


asyncio.run(main())
