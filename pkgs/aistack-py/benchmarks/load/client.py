"""The load generator: connections that ask one request after another, as cheaply as Python can."""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

ANSWER_S = 30
"""A request without an answer by then is an error."""


class RefusedError(Exception):
    """An answer that is not the wanted one; holds its beginning."""


@dataclass(frozen=True)
class Way:
    """One way to ask: where, what, and which answer is right."""

    port: int
    tls: ssl.SSLContext | None
    host: str
    request: Callable[[random.Random, bytes], bytes]
    """A whole request, for a connection that has what `greet` gave."""
    right: Callable[[bytes], bool]
    """Whether a body of status 200 is what was asked for."""
    greetings: tuple[Callable[[bytes], bytes], ...] = ()
    """Requests to begin a connection with; each gets the session that an earlier one was given."""
    farewell: Callable[[bytes], bytes] | None = None
    """A request that ends the session."""


@dataclass
class Turn:
    """What one turn of a way found."""

    seconds: float
    times: list[float] = field(default_factory=list)
    """Seconds of each request that was answered well."""
    errors: int = 0
    first_error: str = ""
    generator: float = 0.0
    """The part of a core that the load generator itself took."""


async def take_turn(way: Way, clients: int, seconds: float, seed: str) -> Turn:
    """Let so many clients ask, each the next as soon as it has its answer."""
    turn = Turn(seconds)
    open_ = [Connection(way) for _ in range(clients)]
    try:
        for connection in open_:  # connecting is no part of the turn: clients keep connections
            await connection.begin()
        own, begun = time.process_time(), time.perf_counter()
        chances = (random.Random(f"{seed}/{i}") for i in range(clients))  # noqa: S311 - repeatable
        end = begun + seconds
        await asyncio.gather(
            *(_ask_until(end, c, r, turn) for c, r in zip(open_, chances, strict=True))
        )
        turn.seconds = time.perf_counter() - begun
        turn.generator = (time.process_time() - own) / turn.seconds
        for connection in open_:
            await connection.end()
    finally:
        for connection in open_:
            connection.close()
    return turn


async def _ask_until(
    end: float, connection: "Connection", chance: random.Random, turn: Turn
) -> None:
    while True:
        request = connection.way.request(chance, connection.session)
        begun = time.perf_counter()
        if begun >= end:
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                body = await connection.ask(request)
            if not connection.way.right(body):
                raise RefusedError(f"unexpected: {body[:300]!r}")
            turn.times.append(time.perf_counter() - begun)
        except (OSError, TimeoutError, RefusedError) as exc:
            turn.errors += 1
            turn.first_error = turn.first_error or f"{type(exc).__name__}: {exc}"
            connection.close()
            await asyncio.sleep(0.05)  # a server that refuses must not be stormed


class Connection(asyncio.Protocol):
    """One kept HTTP/1.1 connection; where the server ends it, the next request makes a new one."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.session = b""
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        self._head = 0
        self._length: int | None = None
        self._last = False

    async def begin(self) -> None:
        """Connect and greet."""
        await self._connect()
        for greeting in self.way.greetings:
            await self.ask(greeting(self.session))

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer.

        Raises:
            RefusedError: its status is not 200 or 202.
            OSError: no connection, or none until the answer's end.
        """
        if self._transport is None:
            await self._connect()
        self._buffer.clear()
        self._head, self._length, self._last = 0, None, False
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None:  # the server ended it just now
            raise ConnectionResetError("closed at once")
        self._transport.write(request)
        return await self._answer

    async def end(self) -> None:
        """Say farewell, where there is a session."""
        if self.way.farewell is not None and self.session:
            with contextlib.suppress(OSError, RefusedError):
                await self.ask(self.way.farewell(self.session))

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    async def _connect(self) -> None:
        loop, name = asyncio.get_running_loop(), self.way.host if self.way.tls else None
        self._transport, _ = await loop.create_connection(
            lambda: self, "127.0.0.1", self.way.port, ssl=self.way.tls, server_hostname=name
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError(f"closed before the answer: {exc}"))

    def data_received(self, data: bytes) -> None:
        """Gather an answer."""
        self._buffer += data
        if not self._head and not self._read_head():
            return
        if self._length is not None:
            if len(self._buffer) < self._head + self._length:
                return
            body = bytes(self._buffer[self._head :])
        elif self._buffer.endswith(b"\r\n0\r\n\r\n", self._head - 2):
            body = _joined(bytes(self._buffer[self._head :]))
        else:
            return
        if self._last:
            self.close()
        if self._answer is not None and not self._answer.done():
            if self._buffer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
                self._answer.set_result(body)
            else:
                text = bytes(self._buffer[:600]).decode("latin-1")
                self._answer.set_exception(RefusedError(text))

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._head = end + 4
        for line in bytes(self._buffer[:end]).split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            match name.lower():
                case b"content-length":
                    self._length = int(value)
                case b"connection":
                    self._last = value.strip().lower() == b"close"
                case b"mcp-session-id":
                    self.session = value.strip()
        if self._buffer.startswith(b"HTTP/1.1 202") and self._length is None:
            self._length = 0
        return True


def _joined(chunked: bytes) -> bytes:
    """A body without the sizes of its chunks."""
    parts, at = [], 0
    while True:
        line = chunked.index(b"\r\n", at)
        size = int(chunked[at:line], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(chunked[line + 2 : line + 2 + size])
        at = line + 4 + size
