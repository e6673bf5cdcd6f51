"""Cursors of listings that are ordered by time and id."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from aistack.errors import InvalidError
from aistack.kit.signing import Signer

Place = tuple[datetime, UUID]


class Cursors:
    """The cursors of one listing; those of another are refused."""

    def __init__(self, signer: Signer, listing: str) -> None:
        self._signer = signer
        self._listing = listing

    def write(self, row: dict[str, Any]) -> str:
        """The cursor that goes on after this row."""
        place = (self._listing, row["created_at"], row["id"])
        return self._signer.sign(msgspec.msgpack.encode(place))

    def read(self, cursor: str | None) -> Place | None:
        """Where to go on; None: at the beginning.

        Raises:
            InvalidError: not a cursor of this listing.
        """
        if not cursor:
            return None
        try:
            raw = self._signer.verify(cursor)
            listing, at, last = msgspec.msgpack.decode(raw, type=tuple[str, datetime, UUID])
        except msgspec.DecodeError as exc:
            raise InvalidError(
                "this cursor is of another listing", pointer="/cursor", reason="cursor"
            ) from exc
        if listing != self._listing:
            raise InvalidError(
                "this cursor is of another listing", pointer="/cursor", reason="cursor"
            )
        return at, last
