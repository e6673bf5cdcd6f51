"""A route as a value: what it takes, needs and gives; HTTP and OpenAPI are both made from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from aistack.access.model import Principal, Scope
from aistack.api import problems
from aistack.errors import InvalidError, NotFoundError, Reason, UnauthenticatedError
from aistack.settings.names import Identifier

if TYPE_CHECKING:
    from aistack.wiring import Stack

JSON = "application/json"
PRINCIPAL = "aistack.principal"
"""Key of the ASGI scope under which the guards leave the caller."""
ROUTE = "aistack.route"
"""Key of the ASGI scope under which the route's path is left for the access log."""
ANYONE = Principal("-", "anyone", frozenset())
_ENCODER = msgspec.json.Encoder(enc_hook=str)
PATH_TYPES: Mapping[str, Any] = {
    "id": UUID,
    "collection": Identifier,
    "name": Identifier,
    "project": Identifier,
    "issue": Annotated[int, msgspec.Meta(ge=1, le=2**53)],
}
"""Types of path parameters; what does not fit cannot exist and is not found. Others: str."""


class _Number(Convertor[int]):
    """``{x:number}``: an id in a path, of at most as many digits as 2**53 has.

    Starlette's ``int`` takes any number of them, and of some thousand Python makes an error.
    """

    regex = "[0-9]{1,16}"

    def convert(self, value: str) -> int:
        """Of the path's text."""
        return int(value)

    def to_string(self, value: int) -> str:
        """As a path has it."""
        return str(value)


register_url_convertor("number", _Number())


@dataclass(frozen=True, slots=True)
class Call:
    """The checked values of one request."""

    path: Mapping[str, Any]
    query: Any
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that differs from the endpoint's usual one.

    Bytes are sent as they are, and so are the chunks of an asynchronous iterator, one by one.
    """

    value: object = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str | None = None


Handler = Callable[["Stack", Principal, Call], Awaitable[object]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One operation of the HTTP API."""

    method: str
    path: str
    handler: Handler
    summary: str
    scope: Scope | None
    """What the key must allow; None: no key is needed."""
    body: type[msgspec.Struct] | None = None
    raw_body: str | None = None
    """Media type of a body that the handler decodes itself; it gets the bytes."""
    query: type[msgspec.Struct] | None = None
    response: Any = None
    status: int = 200
    also: tuple[int, ...] = ()
    """Other statuses of success or state, with the same body (204 and 304: none)."""
    headers: tuple[str, ...] = ()
    """Request headers that it heeds."""
    media_type: str = JSON
    tags: tuple[str, ...] = ()
    refused: Callable[[Stack, InvalidError], None] | None = None
    """Told of each request that is refused before the handler sees it."""
    errors: tuple[str, ...] = ()
    """Codes of problems besides those that `problem_codes` derives."""

    def problem_codes(self) -> tuple[str, ...]:
        """Codes of all problems that it may answer with."""
        codes = {"internal", *self.errors}
        if self.scope:
            codes |= {"unauthenticated", "forbidden", "rate-limited", "unavailable"}
        if self.query or self.body or self.raw_body or self.headers:
            codes.add("invalid")
        if self.body or self.raw_body:
            codes |= {"too-large", "unsupported-media-type"}
        return tuple(code for code in problems.KINDS if code in codes)

    def route(self, stack: Stack) -> Route:
        """The Starlette route that serves it from this stack."""
        decoder = msgspec.json.Decoder(self.body) if self.body else None

        async def serve(request: Request) -> Response:
            request.scope[ROUTE] = self.path
            principal: Principal | None = request.scope.get(PRINCIPAL)
            if self.scope:
                if principal is None:
                    raise UnauthenticatedError("no valid API key")
                principal.require(self.scope)
            try:
                call = Call(
                    _path(request.path_params),
                    _query(request, self.query) if self.query else None,
                    await self._body(request, decoder),
                    request.headers,
                )
            except InvalidError as exc:
                if self.refused:
                    self.refused(stack, exc)
                raise
            return self._respond(await self.handler(stack, principal or ANYONE, call))

        return Route(self.path, serve, methods=[self.method], name=self.handler.__name__)

    async def _body(self, request: Request, decoder: msgspec.json.Decoder[Any] | None) -> Any:
        if self.raw_body:
            return await request.body()
        return await _body(request, decoder) if decoder else None

    def _respond(self, result: object) -> Response:
        reply = result if isinstance(result, Reply) else Reply(result)
        status = reply.status or self.status
        headers = dict(reply.headers)
        if status in (204, 304):
            return Response(status_code=status, headers=headers)
        media_type = reply.media_type or self.media_type
        if isinstance(reply.value, AsyncIterator):
            return StreamingResponse(reply.value, status, headers, media_type)
        content = reply.value if isinstance(reply.value, bytes) else _ENCODER.encode(reply.value)
        return Response(content, status, headers, media_type)


def check_text(value: object, pointer: str = "") -> None:
    """Refuse what PostgreSQL cannot hold, U+0000 and lone surrogates, anywhere in a decoded value.

    Raises:
        InvalidError: with the pointer to the string.
    """
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            raise InvalidError(
                "text must not contain lone surrogates", pointer=pointer, reason="encoding"
            ) from exc
    if isinstance(value, str) and "\0" in value:
        raise InvalidError(
            "text must not contain U+0000", pointer=pointer, reason="control_character"
        )
    if isinstance(value, dict):
        for name, item in value.items():
            check_text(name, pointer)
            check_text(item, f"{pointer}/{name}".replace("\0", ""))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_text(item, f"{pointer}/{index}")


def _path(given: Mapping[str, Any]) -> dict[str, Any]:
    checked = {}
    for name, value in given.items():
        try:
            checked[name] = msgspec.convert(value, PATH_TYPES.get(name, str))
        except msgspec.ValidationError as exc:
            raise NotFoundError(f"no such {'collection' if name == 'name' else name}") from exc
        check = str(checked[name])
        if not check.isprintable():
            raise NotFoundError("not found")
    return checked


def _query(request: Request, kind: type[msgspec.Struct]) -> msgspec.Struct:
    known = {item.encode_name for item in msgspec.structs.fields(kind)}
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise InvalidError("unknown query parameter", pointer=f"/{name}".replace("\0", ""))
        if name in values:
            raise InvalidError("query parameter given twice", pointer=f"/{name}")
        values[name] = value
    check_text(values)
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise problems.from_validation(exc) from exc


async def _body(request: Request, decoder: msgspec.json.Decoder[Any]) -> Any:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise HTTPException(415, f"the body must be {JSON}")
    raw = await request.body()
    try:
        value = decoder.decode(raw)
        if b"\\u0000" in raw:  # only then is the slower look worth its time
            check_text(msgspec.json.decode(raw))
    except msgspec.ValidationError as exc:
        raise problems.from_validation(exc) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        reason: Reason = "encoding" if isinstance(exc, UnicodeDecodeError) else "schema"
        raise InvalidError(f"the body is not JSON: {exc}", pointer="", reason=reason) from exc
    except RecursionError as exc:
        raise InvalidError("the body is nested too deeply", pointer="", reason="schema") from exc
    return value
