"""PDF: the text layer, read by a process of its own.

What reads a PDF trusts it: a few kilobytes can unpack to gigabytes, give one page thousands of
times, or have a font count to a billion. No look between two pages stops that, and a thread cannot
be killed. A process can be, and takes the memory with it.
"""

import logging
import signal
from typing import Final

import msgspec
from msgspec import Struct

from aistack.errors import InvalidError, TooLargeError, UnavailableError
from aistack.kit import process
from aistack.knowledge.extract.result import Reading

log = logging.getLogger(__name__)

SECONDS = 30
"""Of one PDF: enough for some thousand pages of text."""
MEMORY_BYTES = 1024 * 1024 * 1024
"""Of the process that reads; it begins with 20 MB."""
PAGES: Final = 10_000
_READER: Final = "aistack.knowledge.extract.pdf_reader"
_MARK: Final = b"%PDF-"
_HEAD: Final = 1024
"""Bytes in which the mark stands, as all readers take it."""
_LATE: Final = frozenset({-signal.SIGXCPU, -signal.SIGALRM})
OUT_OF_MEMORY: Final = 71
"""What the process ends with where its bound on memory was met."""
_SHORT: Final = frozenset({OUT_OF_MEMORY, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT})
"""Where memory is refused, C does not always make a `MemoryError` of it."""


class Answer(Struct, frozen=True):
    """What the process found: a text, or why there is none."""

    title: str = ""
    text: str = ""
    refused: str = ""
    large: bool = False
    """Whether it is refused for its size."""


def read(source: bytes, most_bytes: int) -> Reading:
    """Read the text of all pages; pages are parted by a blank line.

    Args:
        source: the PDF.
        most_bytes: of text, in UTF-8.

    Raises:
        InvalidError: damaged, encrypted, or without a text layer.
        TooLargeError: too much text, too many pages, or more time or memory than one may take.
        UnavailableError: the process was ended from outside.
    """
    if _MARK not in source[:_HEAD]:
        raise InvalidError("the PDF is damaged and cannot be read: it does not begin as one")
    try:
        bounds = [str(bound) for bound in (most_bytes, MEMORY_BYTES, SECONDS)]
        said = process.through(_READER, bounds, source, SECONDS)
    except process.LateError as exc:
        raise _late() from exc
    except process.FailedError as exc:
        if exc.status in _LATE:
            raise _late() from exc
        if exc.status in _SHORT:
            raise TooLargeError(
                f"the PDF takes more than {MEMORY_BYTES} bytes of memory to read; split it"
            ) from exc
        if exc.status == -signal.SIGKILL:  # by the kernel, which finds none left
            raise TooLargeError(
                "the PDF takes more memory to read than there is; split it"
            ) from exc
        log.warning("%s", exc.detail)
        raise UnavailableError("the PDF cannot be read now") from exc
    answer = msgspec.json.decode(said, type=Answer)
    if answer.refused:
        kind = TooLargeError if answer.large else InvalidError
        raise kind(answer.refused)
    return Reading(answer.title, answer.text)


def _late() -> TooLargeError:
    return TooLargeError(f"the PDF takes more than {SECONDS} s to read; split it")
