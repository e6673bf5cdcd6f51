"""pgBackRest: physical backups, WAL and restores. Every call is one program; all methods block."""

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from aistack.backup import places
from aistack.backup.model import Contents, Physical, Type
from aistack.errors import ConfigError, UnavailableError
from aistack.kit import process
from aistack.settings.schema import Backup

log = logging.getLogger(__name__)

_PROGRAM = "pgbackrest"
_QUICK_S = 300
_LONG_S = 24 * 3600
_PUSH_S = 15
_OTHER_CLUSTER = re.compile(r"ERROR: \[0(28|44|51)\]")
"""Status codes of pgBackRest for a stanza that belongs to another cluster or version."""
_UNREADABLE = 99
_NO_SUCH_SEGMENT = 1
_UNKNOWN = 255
_SEGMENT = re.compile(r"([0-9.]+-[0-9]+)/[0-9A-F]{16}/([0-9A-F]{24})-[0-9a-f]{40}")
_WRONG_KEY = re.compile(r"CryptoError|FormatError|cipher header|decrypt", re.IGNORECASE)


class PgBackRest:
    """One PostgreSQL cluster and its repositories.

    Args:
        settings: what is backed up, and where to.
        data_dir: another data folder than the settings', for a scratch server.
    """

    def __init__(self, settings: Backup, data_dir: Path | None = None) -> None:
        self._settings = settings
        self._data = data_dir or Path(settings.data_dir)

    def version(self) -> str:
        """Version of the program, as in 2.59.0."""
        said = process.run([_PROGRAM, "version"], _QUICK_S)
        return said.split()[-1] if said.split() else "unknown"

    def create_stanza(self, repository: str) -> None:
        """Make the stanza in a repository, where it is not there yet.

        Raises:
            ConfigError: the repository belongs to another cluster.
            UnavailableError: the repository or PostgreSQL does not answer.
        """
        try:
            self._call(repository, ["stanza-create", *self._server()], _QUICK_S)
        except process.FailedError as exc:
            if _OTHER_CLUSTER.search(exc.detail):
                raise ConfigError(
                    f"repository {repository} holds the backups of another PostgreSQL cluster:"
                    " restore from it first (aistack restore), or give backup.stanza another name"
                    f" ({exc.detail})"
                ) from exc
            raise

    def upgrade_stanza(self, repository: str) -> None:
        """Tell a repository that the cluster is another one now; the old one's backups stay.

        Raises:
            UnavailableError: the repository or PostgreSQL does not answer.
        """
        self._call(repository, ["stanza-upgrade", *self._server()], _QUICK_S)

    def backup(self, repository: str, kind: Type, run: str) -> None:
        """Make one backup; raises `UnavailableError`."""
        self._call(
            repository,
            ["backup", f"--type={kind}", "--no-expire-auto", f"--annotation=run={run}",
             *self._server()],
            _LONG_S,
        )  # fmt: skip

    def contents(self, repository: str) -> Contents:
        """What a repository holds.

        Raises:
            UnavailableError: it cannot be read; says so where the key is the wrong one.
        """
        said = self._call(repository, ["info", "--output=json"], _QUICK_S)
        try:
            stanzas = msgspec.json.decode(said)
        except msgspec.DecodeError as exc:
            # With a wrong key it quotes what it could not read, and that is not JSON.
            raise _undecryptable(said) from exc
        found = next((s for s in stanzas if s["name"] == self._settings.stanza), None)
        if found is None:
            return Contents(repository)
        for repo in found["repo"]:
            if repo["status"]["code"] == _UNREADABLE:
                said = repo["status"]["message"]
                if _WRONG_KEY.search(said):
                    raise _undecryptable(said)
                raise UnavailableError(f"repository {repository} cannot be read: {said}")
        servers = {one["id"]: one["version"] for one in found.get("db", [])}
        archives = found.get("archive") or [{"max": None}]
        return Contents(
            repository,
            physical=[_physical(one, servers) for one in found.get("backup", [])],
            last_wal=archives[-1]["max"],
        )

    def segments(self, repository: str) -> dict[str, set[str]]:
        """All WAL segments that a repository holds, by cluster.

        As in ``{"17-1": {"000000010000000000000003"}}``: after an upgrade there are two.
        """
        words = ["repo-ls", "--recurse", f"archive/{self._settings.stanza}"]
        found: dict[str, set[str]] = {}
        for archive, name in _SEGMENT.findall(self._call(repository, words, _LONG_S)):
            found.setdefault(archive, set()).add(name)
        return found

    def expire(self, repository: str, label: str) -> None:
        """Delete one backup and all that need it; WAL stays."""
        self._call(repository, ["expire", f"--set={label}"], _LONG_S)

    def expire_archive(self, repository: str, count: int) -> None:
        """Delete WAL that is older than the newest ``count`` backups and makes no backup whole."""
        self._call(
            repository,
            ["expire", f"--repo1-retention-archive={count}", "--repo1-retention-archive-type=incr"],
            _LONG_S,
        )

    def verify(self, repository: str) -> None:
        """Read everything in a repository against its checksums.

        Raises:
            UnavailableError: something is damaged or missing; holds what.
        """
        said = self._call(repository, ["verify", "--output=text", "--verbose"], _LONG_S)
        bad = [line.strip() for line in said.splitlines() if _broken(line)]
        if bad:
            raise UnavailableError(f"repository {repository} is damaged: {' | '.join(bad[:5])}")

    def restore(
        self, repository: str, label: str, target: Sequence[str], *, archiving: bool
    ) -> None:
        """Put one backup into the data folder, made ready to recover.

        Args:
            repository: where it comes from.
            label: the backup.
            target: ``--type=…`` and what belongs to it.
            archiving: whether the server may archive when it runs: never for a scratch server.
        """
        self._call(
            repository,
            ["restore", f"--set={label}", *target,
             # Somebody waits for it; a drill is nice to the rest of the host.
             f"--process-max={process.cores()}",
             f"--archive-mode={'preserve' if archiving else 'off'}", "--tablespace-map-all="
             f"{self._data}.tablespaces"],
            _LONG_S,
        )  # fmt: skip

    def environment(self, only: str | None = None) -> dict[str, str]:
        """For a program that calls pgBackRest, with all repositories or with only one."""
        found = places.pgbackrest(self._settings, places.key(self._settings), only)
        return found | {"PGBACKREST_PG1_PATH": str(self._data)}

    def push(self, segment: str) -> bool:
        """Archive one WAL segment in every repository; whether all have it.

        To each by a program of its own, which works ahead of PostgreSQL. While one repository is
        away, PostgreSQL asks for the same segment again and again; the others are given what comes
        after it. Fetching does not work ahead: what it looked for in vain it would remember.
        """
        names = list(self._settings.repositories)
        saved = self._push(segment, names)
        newest = _newest_ready(Path(segment))
        if not all(saved) and newest is not None:
            self._push(newest, [n for n, ok in zip(names, saved, strict=True) if ok])
        return all(saved)

    def _push(self, segment: str, names: Sequence[str]) -> list[bool]:
        ahead = {"PGBACKREST_ARCHIVE_ASYNC": "y", "PGBACKREST_ARCHIVE_TIMEOUT": str(_PUSH_S)}
        line: process.Command = [_PROGRAM, "--no-config", "archive-push", segment]
        calls: dict[str, tuple[process.Command, dict[str, str]]] = {}
        for name in names:
            try:
                calls[name] = (line, self.environment(name) | ahead)
            except ConfigError as exc:  # a secret of this one is missing
                log.warning("repository %s gets no WAL: %s", name, exc.detail)
        ended = dict(zip(calls, process.together(list(calls.values())), strict=True))
        return [ended.get(name) == 0 for name in names]

    def get(self, segment: str, into: str) -> int:
        """Fetch one WAL segment: PostgreSQL's restore_command.

        Returns:
            Its exit status: 0; 1 where a repository says that there is none, which ends a recovery;
            more than 125, which fails it, where none could say so.
        """
        line: process.Command = [_PROGRAM, "--no-config", "archive-get", segment, into]
        end = False
        for name in self._settings.repositories:
            try:
                (status,) = process.together([(line, self.environment(name))])
            except ConfigError as exc:  # a secret of this one is missing
                log.warning("repository %s gives no WAL: %s", name, exc.detail)
                continue
            if status == 0:
                return 0
            end = end or status == _NO_SUCH_SEGMENT
        return _NO_SUCH_SEGMENT if end else _UNKNOWN

    def _call(self, repository: str, words: Sequence[str], timeout_s: float) -> str:
        command, *options = words
        user = process.owner(Path(self._settings.data_dir))
        try:
            line = [_PROGRAM, "--no-config", command, *options]
            return process.run(line, timeout_s, user, self.environment(repository))
        except process.FailedError as exc:
            if _WRONG_KEY.search(exc.detail):
                raise _undecryptable(exc.detail) from exc
            raise

    def _server(self) -> list[str]:
        """Where PostgreSQL answers: backup.dsn in pgBackRest's words."""
        # Here, for a third of the time to start is its import: WAL is pushed without.
        from psycopg import conninfo

        parts = conninfo.conninfo_to_dict(self._settings.dsn)
        options = {
            "socket-path": parts.get("host"),
            "port": parts.get("port"),
            "user": parts.get("user"),
        }
        return [f"--pg1-{name}={value}" for name, value in options.items() if value]


def _newest_ready(segment: Path) -> str | None:
    """The newest segment that PostgreSQL has finished; with it come all before."""
    ready = sorted(p.stem for p in (segment.parent / "archive_status").glob("*.ready"))
    return str(segment.parent / ready[-1]) if ready else None


def _undecryptable(said: str) -> UnavailableError:
    words = "".join(c for c in said if c.isprintable())[:200]
    return UnavailableError(
        "a repository cannot be decrypted: backup.key_file is not the key that it was made with, or"
        f" it is damaged ({words})"
    )


def _physical(raw: dict[str, Any], servers: dict[int, str]) -> Physical:
    size = raw.get("info", {})
    return Physical(
        label=raw["label"],
        type=raw["type"],
        started_at=datetime.fromtimestamp(raw["timestamp"]["start"], UTC),
        finished_at=datetime.fromtimestamp(raw["timestamp"]["stop"], UTC),
        last_lsn=raw["lsn"]["stop"],
        first_wal=raw["archive"]["start"],
        last_wal=raw["archive"]["stop"],
        needs=raw.get("prior"),
        bytes=size.get("size", 0),
        added_bytes=size.get("repository", {}).get("delta", 0),
        error=bool(raw.get("error")),
        run=raw.get("annotation", {}).get("run"),
        server=servers.get(raw["database"]["id"], ""),
        archive=f"{servers.get(raw['database']['id'], '')}-{raw['database']['id']}",
    )


def _broken(line: str) -> bool:
    """Whether a line of verify's report tells of damage; its exit status does not always."""
    counts = re.findall(r"(?:checksum invalid|missing|size invalid|other): (\d+)", line)
    return any(int(count) for count in counts) or bool(re.search(r"status: (error|invalid)", line))
