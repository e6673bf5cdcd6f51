"""restic: everything besides PostgreSQL's files. Every call is one program; all methods block."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from aistack.backup import places
from aistack.backup.model import Kept, Part
from aistack.errors import ConfigError, UnavailableError
from aistack.kit import process
from aistack.settings.schema import Backup

_REACH_S = 60
"""Longest wait for a repository to open: by itself restic tries for a quarter of an hour."""
_QUICK_S = 300
_LONG_S = 24 * 3600
_ABSENT = re.compile(r"unable to open config file.*(no such file|does not exist)", re.IGNORECASE)
_ABSENT_STATUS = 10
_LOCKED = re.compile(r"already locked|unable to create lock", re.IGNORECASE)
_WRONG_KEY = re.compile(r"wrong password or no key found", re.IGNORECASE)


class _Snapshot(Struct):
    """A line of ``restic snapshots --json``."""

    id: str
    time: str
    tags: list[str] = []


class _Summary(Struct):
    """The last line of ``restic backup --json``."""

    message_type: str
    snapshot_id: str = ""
    data_added: int = 0


class Restic:
    """One restic repository."""

    def __init__(self, settings: Backup, name: str) -> None:
        self._settings = settings
        self._name = name

    def version(self) -> str:
        """Version of the program."""
        found = re.search(r"restic (\S+)", process.run(["restic", "version"], _QUICK_S))
        return found[1] if found else "unknown"

    def exists(self) -> bool:
        """Whether there is a repository, and our key opens it.

        Raises:
            UnavailableError: there is one, but it cannot be read.
        """
        return self._ask(["cat", "config"]) is not None

    def create(self) -> None:
        """Make the repository if it is not there."""
        if not self.exists():
            self._call(["init"], _QUICK_S)

    def keep(self, folder: Path, part: Part, run: str) -> tuple[str, int]:
        """Keep a folder's files; returns the snapshot's id and the bytes that it added."""
        # From within: a restore then has the files and no path of this host above them.
        said = self._call(["backup", "--json", *_tags(part, run), "."], _LONG_S, inside=folder)
        return _summary(said)

    def keep_output(self, producer: Sequence[str | Path], file: str, run: str) -> tuple[str, int]:
        """Keep what a program prints; nothing is kept where it fails."""
        consumer = self._line(
            ["backup", "--json", *_tags("logical", run), "--stdin", "--stdin-filename", file]
        )
        said = process.feed(producer, consumer, _LONG_S, self._user(), self._environment())
        return _summary(said)

    def kept(self) -> list[Kept]:
        """All snapshots of ours, oldest first; none where there is no repository."""
        said = self._ask(["snapshots", "--json", "--no-lock"])
        found = []
        for one in msgspec.json.decode(said or "[]", type=list[_Snapshot]):
            tags = dict(tag.split("=", 1) for tag in one.tags if "=" in tag)
            if "part" in tags and "run" in tags:
                found.append(
                    msgspec.convert(
                        {"id": one.id, "at": one.time, "part": tags["part"], "run": tags["run"]},
                        Kept,
                    )
                )
        return sorted(found, key=lambda kept: kept.at)

    def read(self, snapshot: str, file: str) -> str:
        """One text file of a snapshot."""
        return self._call(["dump", "--no-lock", snapshot, file], _QUICK_S)

    def restore(self, snapshot: str, into: Path) -> None:
        """All files of a snapshot, read back against their hashes."""
        self._call(["restore", "--no-lock", snapshot, "--target", str(into), "--verify"], _LONG_S)

    def pour(self, snapshot: str, file: str, consumer: Sequence[str | Path]) -> None:
        """Give one file of a snapshot to a program's standard input; no disk is in between."""
        producer = self._line(["dump", "--no-lock", snapshot, file])
        process.feed(producer, consumer, _LONG_S, self._user(), self._environment())

    def forget(self, snapshots: Sequence[str]) -> None:
        """Delete snapshots, and the data that none other needs."""
        if snapshots:
            self._call(["forget", *snapshots], _LONG_S)
            self._call(["prune"], _LONG_S)

    def check(self, part: int, parts: int) -> None:
        """Check the structure, and read one of so many parts of the data back.

        Raises:
            UnavailableError: something is damaged or missing.
        """
        self._call(["check", f"--read-data-subset={part}/{parts}"], _LONG_S)

    def _ask(self, words: Sequence[str]) -> str | None:
        """What restic says of a repository; None: there is none.

        Raises:
            UnavailableError: it cannot be read, or does not answer in time.
        """
        try:
            return self._call(words, _REACH_S)
        except process.FailedError as exc:
            if _absent(exc):
                return None
            raise
        except process.LateError as exc:
            raise UnavailableError(
                f"repository {self._name} does not answer ({exc.detail})"
            ) from exc

    def _call(self, words: Sequence[str], timeout_s: float, *, inside: Path | None = None) -> str:
        try:
            return self._run(words, timeout_s, inside)
        except process.FailedError as exc:
            if _LOCKED.search(exc.detail) and words[0] != "unlock":
                # Of a killed process, mostly: this clears no lock of one that lives.
                self._call(["unlock"], _QUICK_S)
                return self._run(words, timeout_s, inside)
            if _WRONG_KEY.search(exc.detail):
                raise UnavailableError(
                    f"repository {self._name} cannot be decrypted: backup.key_file is not the key"
                    " that it was made with"
                ) from exc
            raise

    def _run(self, words: Sequence[str], timeout_s: float, inside: Path | None) -> str:
        line, environment = self._line(words), self._environment()
        return process.run(line, timeout_s, self._user(), environment, inside=inside)

    def _line(self, words: Sequence[str]) -> list[str]:
        return ["restic", "--quiet", *places.restic_options(self._settings, self._name), *words]

    def _environment(self) -> dict[str, str]:
        return places.restic(self._settings, self._name, places.key(self._settings))

    def _user(self) -> process.User | None:
        return process.owner(Path(self._settings.state_dir))


def _absent(exc: process.FailedError) -> bool:
    return exc.status == _ABSENT_STATUS or bool(_ABSENT.search(exc.detail))


def _tags(part: Part, run: str) -> list[str]:
    return ["--tag", f"part={part},run={run}", "--host", "aistack"]


def _summary(said: str) -> tuple[str, int]:
    for line in reversed(said.splitlines()):
        if '"summary"' in line:
            summary = msgspec.json.decode(line, type=_Summary)
            return summary.snapshot_id, summary.data_added
    raise ConfigError("restic said nothing of its snapshot: is it 0.14 or newer?")
