"""Server-sent events: the parts of a page, sent again when they change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from aistack.api.console.render import part
from aistack.api.console.visit import Live, Values, Visit
from aistack.errors import UnauthenticatedError, UnavailableError

PERIOD_S = 3.0
"""Between two looks at what a page shows, and at its session."""
MOST = 16
"""Streams of one process."""
Admit = Callable[[], Awaitable[object]]


class Streams:
    """The streams of one process: a bounded number, and an end that all of them heed."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._ending = asyncio.Event()
        self._open = 0
        self._looks: set[asyncio.Task[Values]] = set()

    def end(self) -> None:
        """End all of them: a service that stops waits for what it answers."""
        self._ending.set()

    def answer(self, visit: Visit, live: Live, admit: Admit) -> Response:
        """A stream of a page's parts.

        Args:
            visit: who looks.
            live: the page.
            admit: raises `UnauthenticatedError` once the session has ended.

        Raises:
            UnavailableError: there are too many already, or the service stops.
        """
        if self._open >= self._most or self._ending.is_set():
            raise UnavailableError("too many pages are watched at once", retry_after_s=10)
        headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
        events = self._events(visit, live, admit)
        return _Counted(self._place, events, headers=headers, media_type="text/event-stream")

    @contextmanager
    def _place(self) -> Iterator[None]:
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def _undisturbed(self, look: Coroutine[Any, Any, Values]) -> Values:
        """Whoever leaves in the middle of it would cost a connection of the pool."""
        task = asyncio.create_task(look)
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)
        return await asyncio.shield(task)

    async def _events(self, visit: Visit, live: Live, admit: Admit) -> AsyncIterator[bytes]:
        sent: dict[str, str] = {}
        while not self._ending.is_set():
            try:
                values = await self._undisturbed(_look(visit, live, admit))
            except UnauthenticatedError:
                yield _event("ended", "")
                return
            except UnavailableError as exc:
                # Nobody can be let in now, so nothing more is told; the page keeps what it shows.
                yield _event("away", exc.detail)
            else:
                new = {name: part(visit, live, name, values) for name in live.parts}
                changed = {name: text for name, text in new.items() if sent.get(name) != text}
                sent = new
                yield _event("parts", changed) if changed else b": nothing new\n\n"
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await self._ending.wait()


class _Counted(StreamingResponse):
    """Holds a place for as long as it is sent; an iterator may be let go of without a word."""

    def __init__(
        self,
        place: Callable[[], AbstractContextManager[None]],
        events: AsyncIterator[bytes],
        **more: Any,
    ) -> None:
        super().__init__(events, **more)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the stream or the client ends."""
        with self._place():
            await super().__call__(scope, receive, send)


async def _look(visit: Visit, live: Live, admit: Admit) -> Values:
    await admit()
    return await live.load(visit)


def _event(name: str, value: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(value))
