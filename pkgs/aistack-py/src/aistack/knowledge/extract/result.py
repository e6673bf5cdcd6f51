"""What every format yields, and the decoding that all text formats share."""

import re
from typing import Final, Literal, NamedTuple
from unicodedata import is_normalized, normalize

from msgspec import Struct

from aistack.errors import InvalidError, TooLargeError

TEXT_TIMES: Final = 8
"""Text of a document, in multiples of the bytes that its source may have: what is packed grows."""
MAX_TITLE: Final = 300
CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters other than tab, newline and return."""
BOM: Final = b"\xef\xbb\xbf"


class Extracted(Struct, frozen=True):
    """The readable part of a document."""

    title: str
    content_type: str
    """One of the media types of `aistack.knowledge.extract.mediatypes`."""
    text: str
    """NFC; headings are Markdown '#' lines."""
    kind: Literal["prose", "code"]


class Reading(NamedTuple):
    """What a format's reader finds; an empty title means that there is none."""

    title: str
    text: str


def decode(source: bytes) -> str:
    """Decode a text format: strict UTF-8, without byte order mark, in NFC.

    A form feed is a page break, common in old texts and sources: it becomes a newline.

    Raises:
        InvalidError: binary, not UTF-8, or with control characters.
    """
    if b"\0" in source:
        raise InvalidError("not UTF-8 text; it contains NUL bytes, so it looks binary")
    try:
        text = source.removeprefix(BOM).decode("utf-8").replace("\f", "\n")
    except UnicodeDecodeError as error:
        raise InvalidError(f"not UTF-8 text; invalid byte at offset {error.start}") from error
    if found := CONTROL.search(text):
        raise InvalidError(
            f"not plain text; control character U+{ord(found[0]):04X} at character {found.start()}"
        )
    return nfc(text)


def too_much_text(most_bytes: int) -> TooLargeError:
    """What is wrong with a document whose text has more bytes, in UTF-8."""
    return TooLargeError(
        f"the document has more than {most_bytes} bytes of text, {TEXT_TIMES} times "
        "limits.document_bytes; split it",
        pointer="/content",
    )


def nfc(text: str) -> str:
    """Normalise to NFC; the check is much cheaper than the work that it mostly saves."""
    return text if is_normalized("NFC", text) else normalize("NFC", text)


def printable(text: str) -> str:
    """Text of a format that may carry control characters: without them, in NFC.

    A form feed parts words, so it becomes a newline.
    """
    return nfc(CONTROL.sub("", text.replace("\f", "\n")))
