"""Between SIGTERM and the end: not ready any more, but still served, until balancers know."""

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)


@contextmanager
def draining(seconds: float, begin: Callable[[], None]) -> Iterator[None]:
    """Within the block, SIGTERM calls ``begin``, and the handler before it so many seconds later.

    More of them change nothing: a worker hears of systemd and of its supervisor. SIGINT is not
    touched, so it still ends at once. With 0 seconds nothing is.
    """
    stop = signal.getsignal(signal.SIGTERM)
    if seconds == 0 or not callable(stop):
        yield
        return
    loop = asyncio.get_running_loop()
    told = False

    def drain() -> None:
        nonlocal told
        if told:
            return
        told = True
        log.info("draining: not ready, and the end comes in %g s", seconds)
        begin()
        loop.call_later(seconds, stop, signal.SIGTERM, None)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(drain)

    signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)
