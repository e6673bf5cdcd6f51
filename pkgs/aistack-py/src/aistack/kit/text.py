"""Strict text: what may come in as a name, a path or a question."""

import re
import unicodedata

from aistack.errors import InvalidError, TooLargeError

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Unicode's category Cc but for tab, newline and return."""


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
    if not text.isprintable() and _CONTROL.search(text):
        raise InvalidError(
            f"{field} has control characters", pointer=pointer, reason="control_character"
        )
    return composed(text)


def composed(text: str) -> str:
    """The text in NFC, as it is stored: what is compared with stored text must be so, too."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
