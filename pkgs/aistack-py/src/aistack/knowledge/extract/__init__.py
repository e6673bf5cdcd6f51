"""From a document's bytes to readable text, by format."""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Final

from aistack.errors import InvalidError
from aistack.knowledge.extract import html, markdown, mediatypes, plain, rst
from aistack.knowledge.extract.result import MAX_TITLE, Extracted, Reading

__all__ = ["Extracted", "extract"]


def _pdf(source: bytes) -> Reading:
    # A service that never meets a PDF does without the 12 MB of its reader.
    from aistack.knowledge.extract import pdf

    return pdf.read(source)


_READERS: Final[Mapping[str, Callable[[bytes], Reading]]] = {
    mediatypes.MARKDOWN: markdown.read,
    mediatypes.PDF: _pdf,
    mediatypes.PLAIN: plain.read,
    mediatypes.RST: rst.read,
    mediatypes.SOURCE: plain.read,
}


def extract(source: bytes, *, path: str, content_type: str | None) -> Extracted:
    """Extract the readable text of a document.

    Args:
        source: the document as it was delivered.
        path: its path; tells the format where content_type is None, and the title of last resort.
        content_type: media type, perhaps with a charset parameter; None: told from the path.

    Raises:
        InvalidError: empty, binary, of an unknown media type, or without readable text.
    """
    known = mediatypes.media_type(path, content_type)
    if not source.strip():
        raise InvalidError("the document is empty")
    if known == mediatypes.HTML:
        reading = html.read(source, declared=content_type)
    else:
        reading = _READERS[known](source)
    if not reading.text.strip():
        raise InvalidError(
            "the document has no readable text"
            if source.strip(b"\xef\xbb\xbf \t\r\n")
            else "the document is empty"
        )
    title = " ".join(reading.title.split())[:MAX_TITLE].rstrip() or PurePosixPath(path).name or path
    return Extracted(
        title=title,
        content_type=known,
        text=reading.text,
        kind="code" if known == mediatypes.SOURCE else "prose",
    )
