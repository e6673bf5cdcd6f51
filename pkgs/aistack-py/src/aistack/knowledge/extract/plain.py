"""Plain text and source code: as they are."""

from aistack.knowledge.extract.result import Reading, decode


def read(source: bytes) -> Reading:
    """Read text that has no structure of its own; it has no title but the file's name."""
    return Reading("", decode(source))
