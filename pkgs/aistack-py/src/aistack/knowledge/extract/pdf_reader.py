"""The process that reads one PDF: from standard input; an `Answer` as JSON to standard output.

Run as ``python -m``, with the most bytes of text, bytes of memory and seconds as its arguments.
"""

import contextlib
import io
import logging
import os
import resource
import signal
import struct
import sys
import zlib
from pathlib import Path
from typing import Final

import msgspec
from pypdf import PdfReader
from pypdf.errors import DependencyError, LimitReachedError, PyPdfError

from aistack.errors import InvalidError, TooLargeError
from aistack.knowledge.extract.pdf import OUT_OF_MEMORY, PAGES, Answer
from aistack.knowledge.extract.result import Reading, printable, too_much_text

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
_TITLE: Final = 4096
"""Characters of a title that are looked at."""


def main() -> None:
    """Read and answer, within the bounds that are given."""
    most_bytes, memory_bytes, seconds = map(int, sys.argv[1:])
    _bound(memory_bytes, seconds)
    logging.disable()  # pypdf tells of each oddity; nobody reads it
    try:
        found = read(sys.stdin.buffer.read(), most_bytes)
        answer = Answer(found.title, found.text)
    except InvalidError as exc:
        answer = Answer(refused=exc.detail, large=isinstance(exc, TooLargeError))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def read(source: bytes, most_bytes: int) -> Reading:
    """Read the text of all pages, as `pdf.read` says; without a bound on time and memory."""
    try:
        return _read(source, most_bytes)
    except DependencyError as error:
        raise InvalidError("the PDF is encrypted; store it without a password") from error
    except LimitReachedError as error:
        raise TooLargeError("the PDF unpacks to more than can be read; split it") from error
    except _DAMAGED as error:
        raise InvalidError("the PDF is damaged and cannot be read") from error


def _read(source: bytes, most_bytes: int) -> Reading:
    reader = PdfReader(io.BytesIO(source))
    if reader.is_encrypted:
        raise InvalidError("the PDF is encrypted; store it without a password")
    if len(reader.pages) > PAGES:
        raise TooLargeError(f"the PDF has more than {PAGES} pages; split it")
    pages: list[str] = []
    size = 0
    for page in reader.pages:
        text = _clean(page.extract_text().strip())
        size += len(text.encode())
        # Pages can share what they show: the text is counted while it grows.
        if size > most_bytes:
            raise too_much_text(most_bytes)
        if text:
            pages.append(text)
    if not "".join(pages).strip():
        raise InvalidError("the PDF has no text layer; run text recognition (OCR) on it first")
    title = reader.metadata.title if reader.metadata else None
    return Reading(_clean(str(title or "")[:_TITLE]), "\n\n".join(pages))


def _clean(text: str) -> str:
    # Fonts without a mapping to Unicode can yield lone surrogates, which no store takes.
    return printable(text).encode("utf-8", "ignore").decode("utf-8")


def _bound(memory_bytes: int, seconds: int) -> None:
    """Take no more than one PDF may, and be the first that goes where memory is short."""
    for what, most in (
        (resource.RLIMIT_DATA, memory_bytes),  # without what files are mapped, as those of locales
        (resource.RLIMIT_CPU, seconds),  # should nobody be left who would kill it
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(OSError, ValueError):  # a sandbox, or a lower limit already
            resource.setrlimit(what, (most, most))
    signal.alarm(seconds + 1)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    try:
        main()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # what is left may not be enough to say anything
