"""Who is signed in: a signed cookie that names a key, and the proof that a form is of our page."""

import secrets
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from starlette.types import Scope

from aistack.api.headers import header_of
from aistack.errors import InvalidError, UnauthenticatedError
from aistack.kit.signing import Signer
from aistack.limits.identity import Proxies

COOKIE = "aistack-console"
PATH = "/console/"
LIFE_S = 12 * 3600
"""Seconds until a session ends, whatever is done in it."""


class Session(Struct, frozen=True, array_like=True):
    """What the cookie carries. The key itself is never in it."""

    key_id: str
    ends_at: int
    """Seconds since 1970."""
    nonce: bytes


class Sessions:
    """Makes sessions and reads them; nothing of them is stored.

    Args:
        signer: the stack's own: what it signs here is taken nowhere else.
    """

    def __init__(self, signer: Signer) -> None:
        self._cookies = signer.of("console session")
        self._forms = signer.of("console form")

    def begin(self, key_id: str) -> Session:
        """A session of a key that was checked just now."""
        return Session(key_id, _now() + LIFE_S, secrets.token_bytes(16))

    def written(self, session: Session) -> str:
        """The value of its cookie."""
        return self._cookies.sign(msgspec.msgpack.encode(session))

    def read(self, cookie: str) -> Session:
        """The session of a cookie; raises `UnauthenticatedError` unless it lasts still."""
        try:
            raw = self._cookies.verify(cookie)
            session = msgspec.msgpack.decode(raw, type=Session)
        except (InvalidError, msgspec.MsgspecError) as exc:
            raise UnauthenticatedError("no session") from exc
        if session.ends_at <= _now():
            raise UnauthenticatedError("the session has ended")
        return session

    def token(self, session: Session) -> str:
        """What the forms of this session carry, and other pages cannot know."""
        return self._forms.sign(session.nonce)

    def is_token(self, session: Session, given: str) -> bool:
        """Whether a form is of this session."""
        try:
            return secrets.compare_digest(self._forms.verify(given), session.nonce)
        except InvalidError:
            return False


def set_cookie(value: str, *, secure: bool) -> str:
    """The header that sets the cookie; an empty value takes it away."""
    life = LIFE_S if value else 0
    header = f"{COOKIE}={value}; Path={PATH}; Max-Age={life}; HttpOnly; SameSite=Strict"
    return header + "; Secure" if secure else header


def by_https(scope: Scope, proxies: Proxies) -> bool:
    """Whether the browser speaks TLS: to us, or to a proxy that is trusted to say so."""
    if scope.get("scheme") == "https":
        return True
    peer = scope.get("client")
    told = header_of(scope, b"x-forwarded-proto").strip().lower()
    return told == "https" and proxies.trusts(peer[0] if peer else None)


def same_origin(scope: Scope) -> bool:
    """Whether a browser says that what it sends comes from a page of ours.

    What says nothing is refused. A proxy may leave the port out of Host, so names are compared.
    """
    site, origin = header_of(scope, b"sec-fetch-site"), header_of(scope, b"origin")
    if site and site != "same-origin":
        return False
    if origin:
        return _name(origin) not in ("", None) and _name(origin) == _name(
            "//" + header_of(scope, b"host")
        )
    return bool(site)


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _now() -> int:
    return int(datetime.now(UTC).timestamp())
