"""Signed opaque tokens: what we hand out and take back unchanged."""

import base64
import hmac
from hashlib import sha256

from aistack.errors import InvalidError

_MAC_BYTES = 16


class Signer:
    """Signs short payloads with one key (HMAC-SHA-256 cut to 128 bits)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, purpose: str) -> "Signer":
        """Another one, whose tokens this one does not take, nor the other way round."""
        return Signer(hmac.digest(self._key, purpose.encode(), sha256))

    def sign(self, payload: bytes) -> str:
        """A URL-safe token that carries the payload."""
        token = self._mac(payload) + payload
        return base64.urlsafe_b64encode(token).rstrip(b"=").decode("ascii")

    def verify(self, token: str) -> bytes:
        """The payload of a token of ours; raises `InvalidError` for any other text."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except ValueError as exc:
            raise _foreign() from exc
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload)):
            raise _foreign()
        return payload

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, sha256)[:_MAC_BYTES]


def _foreign() -> InvalidError:
    return InvalidError("the cursor is not one of ours", pointer="/cursor", reason="cursor")
