"""What Sentry's clients send: envelopes, and the older single events. Any shape is survived.

See develop.sentry.dev, "Envelopes" and "Event Payloads". Users, cookies and bodies of requests are
passed over: they say nothing about the error and much about people.
"""

import zlib
from datetime import UTC, datetime
from typing import Any

import msgspec

from aistack.errors import InvalidError, TooLargeError
from aistack.issues.model import Event, Frame, Severity

_LEVELS: dict[str, Severity] = {
    "fatal": "critical",
    "error": "high",
    "warning": "medium",
    "info": "low",
    "debug": "info",
}
_ITEMS = 100
_CAUSES = 5
_DEFAULT = "{{ default }}"


def unpacked(body: bytes, coding: str, most: int) -> bytes:
    """The body without its Content-Encoding.

    Raises:
        TooLargeError: it has more than so many bytes then.
        InvalidError: it is not what it says.
        NotImplementedError: a coding that we do not know.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "deflate"):
        raise NotImplementedError(coding)
    try:
        return _inflated(body, zlib.MAX_WBITS | 32, most)
    except zlib.error:
        pass
    try:  # some send deflate without zlib's header
        return _inflated(body, -zlib.MAX_WBITS, most)
    except zlib.error as exc:
        raise InvalidError(f"the body is not {coding}", pointer="") from exc


def _inflated(body: bytes, wbits: int, most: int) -> bytes:
    decoder = zlib.decompressobj(wbits)
    out = decoder.decompress(body, most + 1)
    if len(out) > most:
        raise TooLargeError(f"the body has more than {most} bytes without its compression")
    if not decoder.eof:
        raise zlib.error("cut off")
    return out


def envelope(body: bytes, project: str) -> list[Event]:
    """The events of an envelope; items of other types are passed over.

    Raises:
        InvalidError: it is not an envelope.
    """
    _, rest = _line(body)
    events: list[Event] = []
    for _ in range(_ITEMS):
        rest = rest.lstrip(b"\n")
        if not rest:
            return events
        header, rest = _line(rest)
        length = header.get("length")
        if isinstance(length, int) and 0 <= length <= len(rest):
            payload, rest = rest[:length], rest[length:]
        else:
            payload, _, rest = rest.partition(b"\n")
        if header.get("type") == "event":
            events.append(stored(payload, project))
    return events


def stored(body: bytes, project: str) -> Event:
    """One event.

    Raises:
        InvalidError: it is not a JSON object.
    """
    return _event(_decoded(body), project)


def _line(body: bytes) -> tuple[dict[str, Any], bytes]:
    line, _, rest = body.partition(b"\n")
    return _decoded(line), rest


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidError(f"not JSON: {exc}", pointer="") from exc
    if not isinstance(found, dict):
        raise InvalidError("not a JSON object", pointer="")
    return found


def _event(told: dict[str, Any], project: str) -> Event:
    # The one that was raised last; those before it caused it.
    raised = [one for one in _values(told.get("exception")) if isinstance(one, dict)]
    last = raised[-1] if raised else {}
    frames = _frames(last.get("stacktrace"))
    tags = _tags(told.get("tags"))
    message = _text(last.get("value")) if raised else _message(told)
    more: dict[str, Any] = {}
    if (at := _time(told.get("timestamp"))) is not None:
        more["at"] = at
    if event_id := _text(told.get("event_id")):
        more["id"] = event_id[:64]
    return Event(
        kind=_text(last.get("type")) or ("Error" if raised else "message"),
        message=message or _text(last.get("type")),
        component=tags.get("component") or _text(told.get("logger")) or f"project-{project}",
        severity=_LEVELS.get(_text(told.get("level")), "high"),
        source="sentry",
        frames=tuple(Frame(*_place(frame), in_app=_in_app(frame)) for frame in frames),
        stack=_stack(raised[-_CAUSES:]),
        context=_context(told, project),
        tags=tuple(f"{key}:{value}" for key, value in tags.items()),
        request_id=tags.get("request_id"),
        host=_text(told.get("server_name")) or "unknown",
        release=_text(told.get("release")) or None,
        fingerprint=_fingerprint(told.get("fingerprint")),
        **more,
    )


def _message(told: dict[str, Any]) -> str:
    for name in ("logentry", "message", "sentry.interfaces.Message"):
        one = told.get(name)
        found = one if isinstance(one, str) else _dict(one).get("formatted")
        if text := _text(found) or _text(_dict(one).get("message")):
            return text
    return ""


def _context(told: dict[str, Any], project: str) -> dict[str, Any]:
    request, contexts = _dict(told.get("request")), _dict(told.get("contexts"))
    found = {
        "project": project,
        "platform": told.get("platform"),
        "environment": told.get("environment"),
        "transaction": told.get("transaction"),
        "method": request.get("method"),
        "url": request.get("url"),
        "trace": _dict(contexts.get("trace")).get("trace_id"),
        "runtime": _dict(contexts.get("runtime")).get("version"),
        "extra": told.get("extra"),
    }
    return {key: value for key, value in found.items() if value}


def _frames(stacktrace: Any) -> list[dict[str, Any]]:
    found = _dict(stacktrace).get("frames")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _place(frame: dict[str, Any]) -> tuple[str, str]:
    module = _text(frame.get("module")) or _text(frame.get("filename")) or "?"
    return module, _text(frame.get("function")) or "?"


def _in_app(frame: dict[str, Any]) -> bool:
    return frame.get("in_app") is not False


def _stack(raised: list[dict[str, Any]]) -> str:
    lines = []
    for one in raised:
        for frame in _frames(one.get("stacktrace")):
            module, function = _place(frame)
            file = _text(frame.get("filename")) or module
            lines.append(f'  File "{file}", line {frame.get("lineno", "?")}, in {function}')
            if text := _text(frame.get("context_line")).strip():
                lines.append(f"    {text}")
        lines.append(f"{_text(one.get('type'))}: {_text(one.get('value'))}")
    return "\n".join(lines)


def _tags(given: Any) -> dict[str, str]:
    pairs = given.items() if isinstance(given, dict) else given if isinstance(given, list) else ()
    found = {}
    for pair in pairs:
        if isinstance(pair, (list, tuple)) and len(pair) == 2:
            found[_text(pair[0])] = _text(pair[1])
    return found


def _fingerprint(given: Any) -> str | None:
    parts = [_text(part) for part in given] if isinstance(given, list) else []
    if not parts or parts == [_DEFAULT]:
        return None
    return " ".join(parts)


def _time(given: Any) -> datetime | None:
    try:
        if isinstance(given, (int, float)):
            return datetime.fromtimestamp(given, UTC)
        if isinstance(given, str):
            at = datetime.fromisoformat(given)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _values(given: Any) -> list[Any]:
    found = given if isinstance(given, list) else _dict(given).get("values")
    return found if isinstance(found, list) else []


def _dict(given: Any) -> dict[str, Any]:
    return given if isinstance(given, dict) else {}


def _text(given: Any) -> str:
    if isinstance(given, str):
        return given
    return "" if given is None or isinstance(given, (dict, list)) else str(given)
