"""Logging to standard error: one line a record, JSON or text, with the request's id."""

import contextvars
import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from aistack.kit import tracing

request_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("request_id", default=None)
"""Id of the request that is being served; None outside of one."""


def set_up(level: str = "info", style: str = "json") -> None:
    """Send all logs to standard error, replacing any earlier set-up.

    Args:
        level: debug, info, warning or error.
        style: json or text.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("httpx", "httpcore", "mcp"):
        # They tell each request's URL, or each session's start, at info.
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def fields(**values: object) -> dict[str, Any]:
    """The ``extra`` of a log call that carries named values."""
    return {"fields": values}


class JsonFormatter(logging.Formatter):
    """One JSON object a line; line breaks in values are escaped, so none can forge a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Encode one record."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (current := request_id.get()) is not None:
            entry["request_id"] = current
        if (trace := tracing.trace_id()) is not None:
            entry["trace_id"] = trace
        entry.update(getattr(record, "fields", {}))
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry, enc_hook=str).decode()


class TextFormatter(logging.Formatter):
    """For people: level, logger, message and ``name=value`` pairs."""

    def format(self, record: logging.LogRecord) -> str:
        """Lay out one record; only a traceback may add lines."""
        parts = [record.levelname.lower().ljust(7), record.name + ":", record.getMessage()]
        if (current := request_id.get()) is not None:
            parts.append(f"request_id={current}")
        parts += [f"{name}={value}" for name, value in getattr(record, "fields", {}).items()]
        line = " ".join(parts).replace("\r", "\\r").replace("\n", "\\n")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
