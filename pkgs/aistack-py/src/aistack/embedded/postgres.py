"""A PostgreSQL server of our own, for the demo and the tests: reachable by a Unix socket only."""

import fcntl
import os
import shlex
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from aistack.errors import ConfigError, ConflictError, UnavailableError
from aistack.kit.process import Command, User, owner, run, working_in
from aistack.postgres_server.programs import find_binaries, server_major

DATABASE = "aistack"
SUPERUSER = "aistack"
_PORT = 5432
_SOCKET_PATH_BYTES = 107  # sun_path of Linux, without its last NUL
_NOBODY = User(65534, 65534)
_TIMEOUT_S = 60
_DEMO = {"listen_addresses": "", "shared_buffers": "32MB", "max_connections": "50"}
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """One server with one folder; a context manager that starts and stops it.

    All methods block.

    Args:
        data_dir: the server's folder; made if absent, kept when the server stops.
        durable: False gives up safety against power loss for speed (tests).
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self._home = data_dir.absolute()
        self._data = self._home / "data"
        self._log = self._home / "server.log"
        self._durable = durable
        self._lock_fd: int | None = None
        self._socket_dir: Path | None = None
        self._short_lived_socket_dir = False

    def start(self) -> str:
        """Start the server, making its folder and the database ``aistack`` where absent.

        Takes over after a server, or a whole host, that was killed.

        Returns:
            A libpq connection string.

        Raises:
            ConfigError: no server is installed, or another version made the folder.
            ConflictError: another process uses the folder now.
            UnavailableError: the server does not start; holds its last words.
        """
        if set(str(self._home)) & set('"$`\\\n'):
            # pg_ctl puts the path between double quotes into a shell line.
            raise ConfigError(f"the folder {self._home} must not have quotes, $ or \\ in its name")
        programs = find_binaries()
        self._home.mkdir(parents=True, exist_ok=True)
        self._lock()
        try:
            return self._start(programs)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and wait for it; does nothing when it does not run."""
        if self._lock_fd is None:
            return
        try:
            self._stop_server()
        finally:
            if self._short_lived_socket_dir and self._socket_dir is not None:
                shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._socket_dir = None
            os.close(self._lock_fd)
            self._lock_fd = None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def lives(self) -> bool:
        """Whether the server runs: somebody may have killed it."""
        return self._postmaster() is not None

    def last_words(self) -> str:
        """The end of the server's log."""
        return f"{self._log}: {self._last_words()}"

    @property
    def _user(self) -> User | None:
        """Whom the server runs as: PostgreSQL refuses root. None: as we are."""
        if os.geteuid() != 0:
            return None
        return owner(self._data) or _NOBODY

    def _lock(self) -> None:
        """One process a folder; the kernel frees the lock when its holder dies."""
        if self._lock_fd is not None:
            raise ConflictError("this server was started already")
        try:
            fd = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise ConfigError(f"cannot write to {self._home}: {exc.strerror}") from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(fd)
            raise ConflictError(f"another aistack uses {self._home} now") from exc
        self._lock_fd = fd

    def _start(self, programs: Path) -> str:
        if self._data.exists():
            self._check_version(programs)
            self._clear_remains()
        else:
            self._create(programs)
        socket_dir = self._make_socket_dir()
        settings = {**_DEMO, "unix_socket_directories": str(socket_dir), "port": str(_PORT)}
        settings |= {} if self._durable else _FAST
        options = shlex.join(f"--{name}={value}" for name, value in settings.items())
        command: Command = [programs / "pg_ctl", "start", "-w", "-D", self._data, "-l", self._log]
        try:
            limit = ["-t", str(_TIMEOUT_S)]
            run([*command, *limit, "-o", options], _TIMEOUT_S + 5, self._user)
        except UnavailableError as exc:
            raise UnavailableError(f"{exc.detail}; {self.last_words()}") from exc
        self._create_database(socket_dir)
        return _conninfo(socket_dir, DATABASE)

    def _create(self, programs: Path) -> None:
        """Make the data folder beside its place, so that a kill leaves no half of one."""
        new = self._home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        self._give(new)
        command: Command = [programs / "initdb", "-D", new, "-U", SUPERUSER, "--auth=trust"]
        command += ["--encoding=UTF8", "--no-locale"]
        command += [] if self._durable else ["--no-sync"]
        run(command, _TIMEOUT_S, self._user)
        new.rename(self._data)

    def _check_version(self, programs: Path) -> None:
        try:
            made_by = (self._data / "PG_VERSION").read_text("ascii").strip()
        except OSError as exc:
            raise ConfigError(f"{self._data} is no readable PostgreSQL data folder") from exc
        ours = server_major(programs)
        if made_by != ours:
            raise ConfigError(
                f"{self._data} was made by PostgreSQL {made_by}, but {programs} has {ours}: "
                f"install PostgreSQL {made_by}, or move the folder away"
            )

    def _clear_remains(self) -> None:
        """End what a killed owner left: its server, or the children of a killed server."""
        self._stop_server()
        deadline = time.monotonic() + 10
        # A server's working folder is its data folder, and so is its children's.
        while working_in(self._data):
            if time.monotonic() > deadline:
                raise UnavailableError(f"processes of a killed server still use {self._data}")
            time.sleep(0.05)
        # Nobody uses the folder. The old number may be another program's by now, which would
        # make the server refuse to start.
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _stop_server(self) -> None:
        if self._postmaster() is None:
            return
        command: Command = [find_binaries() / "pg_ctl", "stop", "-w", "-m", "fast"]
        try:
            run([*command, "-t", str(_TIMEOUT_S), "-D", self._data], _TIMEOUT_S + 5, self._user)
        except UnavailableError:
            if self._postmaster() is not None:  # else it was dying already
                raise

    def _postmaster(self) -> int | None:
        """The process id of this folder's server, if it runs."""
        try:
            first, *_ = (self._data / "postmaster.pid").read_text("utf-8").splitlines()
        except (OSError, ValueError):
            return None
        pid = int(first) if first.isdigit() else 0
        return pid if pid in working_in(self._data) else None

    def _make_socket_dir(self) -> Path:
        """A folder that only the server's user, and root, may enter."""
        folder = self._home / "socket"
        name = os.fsencode(folder / f".s.PGSQL.{_PORT}")
        # libpq and the server both take commas as lists.
        self._short_lived_socket_dir = len(name) > _SOCKET_PATH_BYTES or b"," in name
        if self._short_lived_socket_dir:
            folder = Path(tempfile.mkdtemp(prefix="aistack-", dir="/tmp"))
        else:
            # Its lock file, too, may hold the process id of a killed server.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
        self._socket_dir = folder
        self._give(folder)
        return folder

    def _give(self, path: Path) -> None:
        if user := self._user:
            os.chown(path, user.uid, user.gid, follow_symlinks=False)

    def _create_database(self, socket_dir: Path) -> None:
        try:
            with psycopg.connect(_conninfo(socket_dir, "postgres"), autocommit=True) as conn:
                known = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
                if known.fetchone() is None:
                    conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        except psycopg.Error as exc:
            raise UnavailableError(f"the embedded PostgreSQL does not answer: {exc}") from exc

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text("utf-8", errors="replace").splitlines()
        except OSError as exc:
            return f"no log: {exc.strerror}"
        return " | ".join(lines[-5:])


def _conninfo(socket_dir: Path, database: str) -> str:
    return make_conninfo(
        host=str(socket_dir), port=_PORT, dbname=database, user=SUPERUSER, connect_timeout=10
    )
