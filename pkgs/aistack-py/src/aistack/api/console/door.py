"""The door: who comes in by which key, who still is, and whose form this is."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from aistack.access.model import Principal
from aistack.api import problems
from aistack.api.console.messages import MESSAGES
from aistack.api.console.render import outside
from aistack.api.console.session import (
    COOKIE,
    PATH,
    Session,
    Sessions,
    by_https,
    same_origin,
    set_cookie,
)
from aistack.api.endpoint import PRINCIPAL, check_text
from aistack.api.limits import VerifyFrom
from aistack.errors import ForbiddenError, InvalidError, RateLimitedError, UnauthenticatedError
from aistack.limits.identity import Proxies

if TYPE_CHECKING:
    from aistack.wiring import Stack

SIGN_IN = "/console/sign-in"
SIGN_OUT = "/console/sign-out"
_FORM = "application/x-www-form-urlencoded"
_FIELDS = 30
"""Most fields of a form."""


class Door:
    """Signs in and out, and knows each request's session.

    Args:
        stack: whose keys open it.
        verify: tells whose key it is that signs in, behind the wall for wrong keys.
    """

    def __init__(self, stack: Stack, verify: VerifyFrom) -> None:
        self._keys = stack.keys
        self._verify = verify
        self._sessions = Sessions(stack.signer)
        self._proxies = Proxies(stack.settings.rate_limits.trusted_proxies)

    async def admit(self, request: Request) -> tuple[Session, Principal]:
        """Who is signed in; their key is looked up each time.

        Raises:
            UnauthenticatedError: nobody, or the key has ended.
            UnavailableError: the database does not answer, so nobody can be let in.
        """
        session = self._sessions.read(request.cookies.get(COOKIE, ""))
        principal = await self._keys.holder(session.key_id)
        _require(principal)
        request.scope[PRINCIPAL] = principal
        return session, principal

    def token(self, session: Session) -> str:
        """What the forms of a session carry."""
        return self._sessions.token(session)

    async def form(self, request: Request, session: Session) -> dict[str, str]:
        """The fields of a form that a page of this session sent.

        Raises:
            ForbiddenError: another page sent it, or one of another session.
            InvalidError: it cannot be read.
        """
        fields = await self._own_form(request)
        if not self._sessions.is_token(session, fields.get("token", "")):
            raise ForbiddenError("this form is of another session; load the page again")
        return fields

    async def show_sign_in(self, request: Request) -> Response:
        """The form that takes a key."""
        told = MESSAGES.get(request.query_params.get("done", ""))
        return outside("sign_in.html", {"told": told, "error": None})

    async def sign_in(self, request: Request) -> Response:
        """Begin a session, or show the form again with what is wrong."""
        key = (await self._own_form(request)).get("key", "").strip()
        try:
            principal = await self._verify(key, request.scope)
            _require(principal)
        except (UnauthenticatedError, ForbiddenError, RateLimitedError) as exc:
            return _not_signed_in(exc)
        request.scope[PRINCIPAL] = principal
        cookie = self._sessions.written(self._sessions.begin(principal.key_id))
        return self._lead(request, PATH, cookie)

    async def sign_out(self, request: Request) -> Response:
        """Take the cookie away."""
        session, _ = await self.admit(request)
        await self.form(request, session)
        return self._lead(request, f"{SIGN_IN}?done=signed-out", "")

    def turn_away(self, request: Request) -> Response:
        """Lead to the form; a cookie that is not valid any more is of no use.

        One that did not come is left alone: it stays behind where a link of another site leads
        here, though somebody is signed in.
        """
        came = COOKIE in request.cookies
        return self._lead(request, SIGN_IN, "" if came else None)

    async def _own_form(self, request: Request) -> dict[str, str]:
        if not same_origin(request.scope):
            raise ForbiddenError("this form was not sent by a page of the console")
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != _FORM:
            raise HTTPException(415, f"the body must be {_FORM}")
        return _fields(await request.body())

    def _lead(self, request: Request, to: str, cookie: str | None) -> Response:
        answer = RedirectResponse(to, 303)
        if cookie is not None:
            secure = by_https(request.scope, self._proxies)
            answer.headers["Set-Cookie"] = set_cookie(cookie, secure=secure)
        return answer


def _require(principal: Principal) -> None:
    """Raise `ForbiddenError` for keys that may not see all that the console shows."""
    principal.require("admin")
    if principal.collections is not None:
        raise ForbiddenError("the console needs a key that is not bound to collections")


def _not_signed_in(exc: UnauthenticatedError | ForbiddenError | RateLimitedError) -> Response:
    unknown = isinstance(exc, UnauthenticatedError)
    error = "This is no key, or none that is valid now." if unknown else exc.detail
    status = problems.KINDS[exc.code].status
    answer = outside("sign_in.html", {"told": None, "error": error}, status=status)
    if isinstance(exc, RateLimitedError):
        answer.headers["Retry-After"] = str(exc.retry_after_s)
    return answer


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS
        )
    except ValueError as exc:  # not ASCII, not UTF-8 behind %, or too many
        raise InvalidError("the form cannot be read", reason="encoding") from exc
    fields = dict(pairs)
    check_text(fields)
    return fields
