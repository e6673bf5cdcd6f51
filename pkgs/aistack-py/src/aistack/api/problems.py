"""Errors as RFC 9457 problem documents: the one table from codes to HTTP statuses."""

import logging
import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from aistack.errors import (
    AistackError,
    InvalidError,
    RateLimitedError,
    UnauthenticatedError,
    UnavailableError,
)
from aistack.kit.logs import request_id

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger(__name__)


class Kind(NamedTuple):
    """What a code means over HTTP."""

    status: int
    title: str


KINDS: Mapping[str, Kind] = {
    "invalid": Kind(400, "The request is not valid"),
    "unauthenticated": Kind(401, "A valid API key is needed"),
    "forbidden": Kind(403, "The key does not allow this"),
    "not-found": Kind(404, "Not found"),
    "method-not-allowed": Kind(405, "The path does not take this method"),
    "conflict": Kind(409, "The state does not allow this"),
    "precondition-failed": Kind(412, "The condition does not hold"),
    "too-large": Kind(413, "The request is too large"),
    "unsupported-media-type": Kind(415, "The content type is not taken"),
    "screened": Kind(422, "The content is refused"),
    "rate-limited": Kind(429, "Too many requests"),
    "internal": Kind(500, "Internal error"),
    "unavailable": Kind(503, "Not available now"),
}
_BY_STATUS = {kind.status: code for code, kind in KINDS.items()}
_AT = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_FIELD = re.compile(r"(?:missing required|contains unknown) field `(?P<name>[^`]*)`")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


class FieldError(Struct, frozen=True):
    """One offending field."""

    pointer: str
    """JSON pointer into the body, or ``/NAME`` of a query parameter."""
    detail: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str | None = None
    request_id: str | None = None
    errors: list[FieldError] = []


def from_validation(exc: msgspec.ValidationError) -> InvalidError:
    """Translate msgspec's ``... - at `$.filter.project``` into a JSON pointer."""
    text = str(exc)
    pointer = ""
    if match := _AT.search(text):
        text = text[: match.start()]
        for name, index in _STEP.findall(match["path"]):
            if index == "...":  # msgspec does not say which key
                break
            pointer += "/" + (index or _escape(name))
    if match := _FIELD.search(text):
        pointer += "/" + _escape(match["name"])
    return InvalidError(text, pointer=pointer, reason="schema")


def response(exc: Exception, *, basic: bool = False) -> Response:
    """Answer with a problem; what is not for the caller's eyes is answered by its id alone.

    Args:
        exc: an `AistackError`, Starlette's `HTTPException`, or anything else: a bug.
        basic: whether a 401 also offers HTTP Basic, so that a browser asks for the key.
    """
    headers: dict[str, str] = {}
    errors: list[FieldError] = []
    detail: str | None = None
    if isinstance(exc, AistackError) and exc.code in KINDS:
        code, detail = exc.code, exc.detail
        if exc.pointer is not None:
            errors.append(FieldError(exc.pointer, exc.detail))
    elif isinstance(exc, HTTPException):
        code = _BY_STATUS.get(exc.status_code, "invalid" if exc.status_code < 500 else "internal")
        detail = exc.detail
        headers.update(exc.headers or {})
    else:
        code = "internal"
        _log.error("unexpected error", exc_info=exc)
    kind = KINDS[code]
    problem = Problem(
        f"urn:aistack:problem:{code}", kind.title, kind.status, detail, request_id.get(), errors
    )
    if isinstance(exc, (UnavailableError, RateLimitedError)):
        headers["Retry-After"] = str(exc.retry_after_s)
    result = Response(msgspec.json.encode(problem), kind.status, headers, MEDIA_TYPE)
    if isinstance(exc, UnauthenticatedError):
        result.headers.append("WWW-Authenticate", 'Bearer realm="aistack"')
        if basic:
            result.headers.append("WWW-Authenticate", 'Basic realm="aistack", charset="UTF-8"')
    return result


async def handle(_request: Request, exc: Exception) -> Response:
    """Starlette's exception handler for `AistackError` and `HTTPException`."""
    return response(exc)


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
