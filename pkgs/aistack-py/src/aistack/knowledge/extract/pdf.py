"""PDF: the text layer, page by page."""

import io
import struct
import zlib
from typing import Final

from pypdf import PdfReader
from pypdf.errors import DependencyError, PyPdfError

from aistack.errors import InvalidError
from aistack.knowledge.extract.result import Reading, printable

# What pypdf raises for damaged files besides its own errors, since it trusts their structure.
_DAMAGED: Final = (
    PyPdfError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def read(source: bytes) -> Reading:
    """Read the text of all pages; pages are parted by a blank line.

    Raises:
        InvalidError: damaged, encrypted, or without a text layer.
    """
    try:
        reader = PdfReader(io.BytesIO(source))
        if reader.is_encrypted:
            raise InvalidError("the PDF is encrypted; store it without a password")
        pages = [page.extract_text().strip() for page in reader.pages]
        title = reader.metadata.title if reader.metadata else None
    except DependencyError as error:
        raise InvalidError("the PDF is encrypted; store it without a password") from error
    except _DAMAGED as error:
        raise InvalidError("the PDF is damaged and cannot be read") from error
    text = printable("\n\n".join(page for page in pages if page))
    # Fonts without a mapping to Unicode can yield lone surrogates, which no store takes.
    text = text.encode("utf-8", "ignore").decode("utf-8")
    if not text.strip():
        raise InvalidError("the PDF has no text layer; run text recognition (OCR) on it first")
    title = printable(str(title or "")).encode("utf-8", "ignore").decode("utf-8")
    return Reading(title, text)
