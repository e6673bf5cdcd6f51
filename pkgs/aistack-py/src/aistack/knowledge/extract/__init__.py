"""From a document's bytes to readable text, by format."""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Final

from aistack.errors import InvalidError
from aistack.knowledge.extract import html, markdown, mediatypes, pdf, plain, rst
from aistack.knowledge.extract.result import (
    MAX_TITLE,
    TEXT_TIMES,
    Extracted,
    Reading,
    too_much_text,
)

__all__ = ["TEXT_TIMES", "Extracted", "extract", "takes_long"]

_READERS: Final[Mapping[str, Callable[[bytes], Reading]]] = {
    mediatypes.MARKDOWN: markdown.read,
    mediatypes.PLAIN: plain.read,
    mediatypes.RST: rst.read,
    mediatypes.SOURCE: plain.read,
}


def takes_long(path: str, content_type: str | None) -> bool:
    """Whether reading such a document can take seconds: it does that in a process of its own.

    Raises:
        InvalidError: it is of an unknown media type.
    """
    return mediatypes.media_type(path, content_type) == mediatypes.PDF


def extract(source: bytes, *, path: str, content_type: str | None, most_bytes: int) -> Extracted:
    """Extract the readable text of a document.

    Args:
        source: the document as it was delivered.
        path: its path; tells the format where content_type is None, and the title of last resort.
        content_type: media type, perhaps with a charset parameter; None: told from the path.
        most_bytes: of text, in UTF-8.

    Raises:
        InvalidError: empty, binary, of an unknown media type, or without readable text.
        TooLargeError: more text than ``most_bytes``, or a PDF that takes too much to read.
        UnavailableError: the process that reads a PDF was ended.
    """
    known = mediatypes.media_type(path, content_type)
    if not source.strip():
        raise InvalidError("the document is empty")
    if known == mediatypes.HTML:
        reading = html.read(source, declared=content_type)
    elif known == mediatypes.PDF:
        reading = pdf.read(source, most_bytes)
    else:
        reading = _READERS[known](source)
    if not reading.text.strip():
        raise InvalidError(
            "the document has no readable text"
            if source.strip(b"\xef\xbb\xbf \t\r\n")
            else "the document is empty"
        )
    if len(reading.text.encode()) > most_bytes:
        raise too_much_text(most_bytes)
    title = " ".join(reading.title.split())[:MAX_TITLE].rstrip() or PurePosixPath(path).name or path
    return Extracted(
        title=title,
        content_type=known,
        text=reading.text,
        kind="code" if known == mediatypes.SOURCE else "prose",
    )
