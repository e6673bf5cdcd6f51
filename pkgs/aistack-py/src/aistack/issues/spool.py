"""Events on disk until PostgreSQL has them: many writers, one reader, in order, crash-safe.

Writers append to the file ``current`` and hold a shared lock on it. The reader renames it to a
segment, waits for an exclusive lock on that (who writes now was there before), and deletes it when
all is stored.

A record is a line of its own, with a newline before it as well: what a writer that was killed left
half-written ends there. A checksum tells such a line.
"""

import errno
import fcntl
import os
import secrets
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from aistack.errors import ConfigError, UnavailableError
from aistack.issues.model import Event

_SUFFIX = ".segment"
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Event)
_TRIES = 100


class Batch(NamedTuple):
    """Some events of a segment, in order."""

    segment: str
    end: int
    """Bytes of the segment up to and with the last of them."""
    events: list[Event]
    torn: int
    """Lines that could not be read."""


class Depth(NamedTuple):
    """How full the spool is."""

    bytes: int
    age_s: float
    """How long records have waited, about; 0 for an empty spool."""


class Spool:
    """The spool in a folder, which it makes.

    Args:
        folder: on a file system that heeds fsync.
        most_bytes: beyond this nothing is taken any more.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._current = folder / "current"
        self._most_bytes = most_bytes

    def append(self, events: Sequence[Event]) -> None:
        """Write events; when this returns they survive a power loss.

        Raises:
            UnavailableError: the spool is full, or the disk.
            ConfigError: the folder cannot be written.
        """
        lines = b"".join(_line(event) for event in events)
        try:
            if self.depth().bytes + len(lines) > self._most_bytes:
                raise UnavailableError("the spool of issues is full (issues.spool_bytes)")
            with self._writing() as file:
                _write(file, lines)
                os.fsync(file)
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise UnavailableError(f"the spool of issues: {exc.strerror}") from exc
            raise ConfigError(f"issues.spool: cannot write {self._folder}: {exc.strerror}") from exc

    def depth(self) -> Depth:
        """How full it is now; does not wait for anybody."""
        now = time.time()
        total, oldest = 0, now
        for path in [*_segments(self._folder), self._current]:
            try:
                found = path.stat()
            except OSError:
                continue
            if found.st_size:
                total += found.st_size
                # A segment is named by the moment when it began to wait.
                begun = int(path.name[:20]) / 1e9 if path.suffix else found.st_mtime
                oldest = min(oldest, begun)
        return Depth(total, now - oldest)

    @contextmanager
    def draining(self) -> Iterator["Drain | None"]:
        """The right to read; None where another process has it."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(
                self._folder / "drain.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as exc:
            raise ConfigError(f"issues.spool: cannot use {self._folder}: {exc.strerror}") from exc
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            yield Drain(self._folder, self._identity())
        finally:
            os.close(lock)

    def _identity(self) -> str:
        """What PostgreSQL knows this spool by; made once, under the reader's lock."""
        path = self._folder / "identity"
        try:
            return path.read_text("ascii")
        except FileNotFoundError:
            identity = secrets.token_hex(16)
            new = path.with_suffix(".new")
            with new.open("w") as file:
                file.write(identity)
                file.flush()
                os.fsync(file.fileno())
            new.rename(path)
            _sync(self._folder)
            return identity

    @contextmanager
    def _writing(self) -> Iterator[int]:
        """The current file, which stays the current one within the block."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(_TRIES):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            file = os.open(self._current, flags, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_SH)
                if _same(file, self._current):
                    if not os.fstat(file).st_size:
                        _sync(self._folder)  # or the file could be lost with all in it
                    yield file
                    return
            finally:
                os.close(file)
        raise UnavailableError("the spool of issues is renamed again and again")


class Drain:
    """The one reader. `batch` gives the same again until `done` was told."""

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder
        self.identity = identity

    def segment(self) -> Path | None:
        """The oldest segment; what is written now becomes one. None: there is none, or not yet."""
        waiting = _segments(self._folder)
        if waiting:
            return waiting[0] if _settled(waiting[0]) else None
        # Random, too: after a step of the clock a name must not come back.
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}{_SUFFIX}"
        segment = self._folder / name
        try:
            (self._folder / "current").rename(segment)
        except FileNotFoundError:
            return None
        _sync(self._folder)
        return segment if _settled(segment) else None

    def batch(self, segment: Path, offset: int, most: int) -> Batch:
        """Up to so many events from an offset on; none: the segment is at its end."""
        events: list[Event] = []
        torn = 0
        end = offset
        with segment.open("rb") as file:
            file.seek(offset)
            for line in file:
                end += len(line)
                if line == b"\n":
                    continue
                event = _event(line)
                if event is None:
                    torn += 1
                else:
                    events.append(event)
                if len(events) == most:
                    break
        return Batch(segment.name, end, events, torn)

    def done(self, segment: Path) -> None:
        """Delete a segment that is stored whole."""
        segment.unlink()
        _sync(self._folder)


def _segments(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.suffix == _SUFFIX)
    except FileNotFoundError:
        return []


def _settled(segment: Path) -> bool:
    """Whether nobody writes it any more."""
    file = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


def _line(event: Event) -> bytes:
    raw = _ENCODER.encode(event)
    return b"\n%08x %s\n" % (zlib.crc32(raw), raw)


def _event(line: bytes) -> Event | None:
    """The event of a line; None for one that was cut off or is not ours."""
    checksum, _, raw = line.removesuffix(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(raw):
        return None
    try:
        return _DECODER.decode(raw)
    except msgspec.MsgspecError:
        return None


def _write(file: int, data: bytes) -> None:
    """All of it; a full disk leaves a part, whose last line has a wrong checksum."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _same(file: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(file)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
