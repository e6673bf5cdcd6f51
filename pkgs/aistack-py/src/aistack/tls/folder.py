"""The folder that nginx reads its certificate from.

    certificates/ID/{fullchain.pem,privkey.pem}   one folder a certificate, never changed
    live -> certificates/ID                       what nginx reads
    next -> certificates/ID                       there while a deployment is not confirmed
    previous -> certificates/ID                   what a deployment goes back to

A link is replaced by one rename: nginx, whenever it reads, sees a certificate with its own key.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from aistack.errors import UnavailableError
from aistack.kit.disk import sync
from aistack.tls.pair import Pair, parse

Link = Literal["live", "next", "previous"]
_LINKS: tuple[Link, ...] = ("live", "next", "previous")
CERTIFICATE = "fullchain.pem"
KEY = "privkey.pem"


class Folder:
    """The certificates of one virtual host."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store = path / "certificates"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One deployment at a time; ends with the process, however it ends."""
        with _writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def target(self, link: Link) -> str | None:
        """The id of the certificate that a link names; None: there is no such link."""
        try:
            return (self.path / link).readlink().name
        except FileNotFoundError:
            return None

    def read(self, link: Link) -> Pair | None:
        """The pair that a link names.

        Raises:
            InvalidError: what is there is no pair.
            UnavailableError: it cannot be read.
        """
        if self.target(link) is None:
            return None
        return read_pair(self.path / link, KEY)

    def put(self, pair: Pair) -> None:
        """Store a pair, whole and on the disk, or not at all."""
        place = self._store / pair.id
        if place.exists():
            return
        new = self._store / f".{pair.id}.new"
        try:
            with _writing(new):
                shutil.rmtree(new, ignore_errors=True)
                new.mkdir(parents=True)
                write(new / CERTIFICATE, pair.certificate_pem, 0o644)
                write(new / KEY, pair.key_pem, 0o640)
                # Whatever the umask: others read certificates, and the key has a mode of its own.
                for folder in (self.path, self._store, new):
                    folder.chmod(0o755)
                sync(new)
                new.rename(place)
                sync(self._store)
        except UnavailableError:
            shutil.rmtree(new, ignore_errors=True)
            raise

    def point(self, link: Link, name: str) -> None:
        """Let a link name a certificate, from one moment to the next."""
        new = self.path / f".{link}.new"
        with _writing(self.path / link):
            new.unlink(missing_ok=True)
            new.symlink_to(Path("certificates") / name)
            new.replace(self.path / link)
            sync(self.path)

    def drop(self, link: Link) -> None:
        """Remove a link."""
        with _writing(self.path / link):
            (self.path / link).unlink(missing_ok=True)
            sync(self.path)

    def prune(self) -> None:
        """Remove the certificates that no link names."""
        kept = {self.target(link) for link in _LINKS}
        if self._store.is_dir():
            for place in self._store.iterdir():
                if place.name not in kept:
                    shutil.rmtree(place, ignore_errors=True)


def read_pair(folder: Path, *keys: str) -> Pair:
    """The pair in a folder: ``fullchain.pem``, and the key in the first of the named files.

    Raises:
        InvalidError: what is there is no pair.
        UnavailableError: it is not there, or cannot be read.
    """
    key = next((folder / name for name in keys if (folder / name).exists()), folder / keys[0])
    try:
        texts = (folder / CERTIFICATE).read_text("latin-1"), key.read_text("latin-1")
    except OSError as exc:
        raise UnavailableError(f"cannot read {exc.filename}: {exc.strerror}") from exc
    return parse(*texts, str(folder))


def write(path: Path, content: bytes, mode: int) -> None:
    """Write a new file to the disk, with this mode from its first byte on."""
    with suppress(FileNotFoundError):
        path.unlink()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode & 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(handle)
        os.fchmod(handle, mode)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise UnavailableError(f"cannot write {path}: {exc.strerror}") from exc
