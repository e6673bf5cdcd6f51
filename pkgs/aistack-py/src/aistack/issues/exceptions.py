"""Exceptions of our own services: what is logged with a traceback becomes an event."""

import logging
import queue
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from aistack.errors import AistackError
from aistack.issues.model import FRAMES, Event, Frame
from aistack.issues.recorder import Recorder
from aistack.kit import logs

_WAITING = 1000
_BATCH = 200
_OWN = "aistack"
_TRACKER = "aistack.issues"


class IssueHandler(logging.Handler):
    """Puts records of errors with an exception into the spool, by a thread of its own.

    It never blocks who logs and never raises: what is too much is dropped, and said later.
    """

    def __init__(self, recorder: Recorder, component: str) -> None:
        super().__init__(logging.ERROR)
        self._recorder = recorder
        self._component = component
        self._queue: queue.Queue[Event | None] = queue.Queue(_WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="issues", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        if not record.exc_info or record.exc_info[1] is None:
            return
        if record.name.startswith(_TRACKER):
            return  # recording its own failure to record would never end
        try:
            self._queue.put_nowait(event_of(record, self._component))
        except queue.Full:
            self._dropped += 1
        except Exception:  # noqa: BLE001 - an error about an error helps nobody
            self.handleError(record)

    def close(self) -> None:
        """Write what waits, and end the thread."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(5)
        super().close()

    def _work(self) -> None:
        log = logging.getLogger(__name__)
        ended = False
        while not ended:
            taken = [self._queue.get()]
            while len(taken) < _BATCH and not self._queue.empty():
                taken.append(self._queue.get())
            ended = None in taken
            events = [event for event in taken if event is not None]
            try:
                if events:
                    self._recorder.spool([self._recorder.prepare(event) for event in events])
            except AistackError as exc:
                log.warning("%d errors are not recorded: %s", len(events), exc.detail)
            except Exception:
                log.exception("%d errors are not recorded", len(events))
            if self._dropped:
                log.warning("%d errors are not recorded: too many at once", self._dropped)
                self._dropped = 0


@contextmanager
def recording(recorder: Recorder, component: str) -> Iterator[None]:
    """Record what is logged with an exception within the block, where there is a spool."""
    if not recorder.spools:
        yield
        return
    handler = IssueHandler(recorder, component)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


def event_of(record: logging.LogRecord, component: str) -> Event:
    """The event of a record with an exception."""
    exc = record.exc_info[1] if record.exc_info else None
    if exc is None:
        return Event(message=record.getMessage(), component=component, source="exception")
    kind = type(exc)
    name = kind.__qualname__
    return Event(
        kind=name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}",
        message=str(exc) or record.getMessage(),
        component=component,
        severity="high",
        source="exception",
        frames=frames_of(exc.__traceback__),
        stack="".join(traceback.format_exception(exc)),
        context={"logger": record.name, "log_message": record.getMessage()},
        request_id=logs.request_id.get(),
    )


def frames_of(trace: TracebackType | None) -> tuple[Frame, ...]:
    """The steps of a traceback; ours are in-app."""
    found = []
    for frame, _ in traceback.walk_tb(trace):
        module = str(frame.f_globals.get("__name__", "?"))
        ours = module == _OWN or module.startswith(_OWN + ".")
        found.append(Frame(module, frame.f_code.co_qualname, ours))
    return tuple(found[-FRAMES:])
