"""Imports files and folders: reports each file that cannot be read, and goes on."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from aistack.access.model import Principal
from aistack.errors import InvalidError
from aistack.knowledge.documents import Documents
from aistack.knowledge.model import NewDocument

_BESIDE = frozenset(
    ".avi .avif .bmp .eot .flac .gif .ico .jpeg .jpg .mkv .mov .mp3 .mp4 .ogg .otf .png .tif .tiff"
    " .ttf .wav .webm .webp .woff .woff2".split()
)
"""Endings of what lies beside documents in a folder. Not by tables of media types: to those a
program in TypeScript is a video."""
Outcome = Literal["created", "updated", "unchanged", "skipped"]


class FileResult(Struct, frozen=True):
    """What became of one file; ``reason`` says why it was skipped."""

    path: str
    outcome: Outcome
    reason: str = ""


def find_files(roots: list[Path]) -> list[tuple[Path, str]]:
    """Files with the paths they get: relative to the root that they were found under.

    Hidden files and folders, links that leave the root, and below a folder pictures, sounds, videos
    and fonts are passed over.
    """
    found: dict[str, Path] = {}
    for root in roots:
        for path in _walk(root):
            name = path.name if root.is_file() else path.relative_to(root).as_posix()
            # A name in another encoding than UTF-8: the path of a document is text.
            found.setdefault(os.fsencode(name).decode("utf-8", "backslashreplace"), path)
    return [(path, name) for name, path in sorted(found.items())]


def _walk(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    real = os.path.realpath(root)
    for folder, folders, files in os.walk(root):  # does not follow links to folders
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(folder, name)
            # Not Path.resolve, which raises where links lead in a circle; such a file is skipped.
            inside = not path.is_symlink() or Path(os.path.realpath(path)).is_relative_to(real)
            if not name.startswith(".") and inside and path.suffix.lower() not in _BESIDE:
                yield path


async def import_files(
    documents: Documents,
    principal: Principal,
    files: list[tuple[Path, str]],
    *,
    collection: str,
    project: str,
    max_bytes: int,
    progress: Callable[[FileResult], None],
) -> list[FileResult]:
    """Put each file as a document; one that has the same content already is not sent.

    Each file is a transaction: a kill leaves whole documents, and the next run does the rest.
    """
    known = await documents.checksums(principal, collection, project)
    results = []
    for path, name in files:
        try:
            source = await asyncio.to_thread(_read, path, max_bytes)
            if known.get(name) == hashlib.sha256(source).hexdigest():
                result = FileResult(name, "unchanged")
            else:
                new = NewDocument(path=name, source=source, project=project)
                put = await documents.put(principal, collection, new)
                result = FileResult(name, put.outcome)
        except InvalidError as exc:
            result = FileResult(name, "skipped", exc.detail)
        except OSError as exc:
            result = FileResult(name, "skipped", exc.strerror or "cannot be read")
        results.append(result)
        progress(result)
    return results


def _read(path: Path, max_bytes: int) -> bytes:
    if not path.is_file():
        raise InvalidError("not a regular file")
    with path.open("rb") as file:
        source = file.read(max_bytes + 1)
    if len(source) > max_bytes:
        raise InvalidError(f"larger than limits.document_bytes ({max_bytes})")
    return source
