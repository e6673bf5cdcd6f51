"""Strict text: what may come in as a name, a path or a question."""

import unicodedata

from aistack.errors import InvalidError, TooLargeError

_ALLOWED_CONTROL = frozenset("\t\n\r")


def clean(text: str, *, field: str, max_bytes: int) -> str:
    """The text in Unicode's NFC.

    Raises:
        TooLargeError: more than ``max_bytes`` in UTF-8.
        InvalidError: control characters other than tab, newline, return; lone surrogates.
    """
    pointer = f"/{field}"
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        raise InvalidError(
            f"{field} is not valid Unicode", pointer=pointer, reason="encoding"
        ) from exc
    if size > max_bytes:
        raise TooLargeError(f"{field} has {size} bytes; {max_bytes} are allowed", pointer=pointer)
    if not text.isprintable() and any(
        unicodedata.category(c) == "Cc" and c not in _ALLOWED_CONTROL for c in text
    ):
        raise InvalidError(
            f"{field} has control characters", pointer=pointer, reason="control_character"
        )
    return text if text.isascii() else unicodedata.normalize("NFC", text)
