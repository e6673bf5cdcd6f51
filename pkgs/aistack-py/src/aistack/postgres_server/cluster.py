"""A data folder of PostgreSQL with its programs: what it is, and whether its server runs."""

from pathlib import Path
from typing import Literal

from aistack.kit import process
from aistack.postgres_server.programs import find_binaries, server_major

_QUICK_S = 300
_STOP_S = 3600
Stop = Literal["fast", "immediate"]
"""How a server ends: after a checkpoint, or at once, to recover at its next start."""
_NO_SERVER = {3, 4}
"""What pg_ctl status ends with where none runs: there could be one, or it is no data folder."""


class Cluster:
    """One data folder. All methods block.

    Args:
        data: the folder; it need not be there yet.
        programs: folder of the programs of its major version; None: those of `find_binaries`.
    """

    def __init__(self, data: Path, programs: Path | None = None) -> None:
        self.data = data
        self._programs = programs

    @property
    def programs(self) -> Path:
        """Folder of its programs; raises `ConfigError` where there are none."""
        return self._programs or find_binaries()

    @property
    def user(self) -> process.User | None:
        """Whom its programs run as; None: as we are."""
        return process.owner(self.data) or process.owner(self.data.parent)

    @property
    def version(self) -> str | None:
        """Major version that made it, as in 17; None: there is no cluster."""
        try:
            return (self.data / "PG_VERSION").read_text("ascii").strip()
        except (FileNotFoundError, NotADirectoryError):
            return None

    @property
    def major(self) -> str:
        """Major version of its programs, as in 17."""
        return server_major(self.programs)

    def run(self, program: str, *words: str | Path, timeout_s: float = _QUICK_S) -> str:
        """Run one of its programs as its user, in English; returns what it printed."""
        line: process.Command = [self.programs / program, *words]
        return process.run(line, timeout_s, self.user, {"LC_ALL": "C"}, Path("/"))

    def control(self) -> dict[str, str]:
        """What pg_controldata says, as in ``{"Bytes per WAL segment": "16777216"}``."""
        pairs = (line.partition(":") for line in self.run("pg_controldata", self.data).splitlines())
        return {name.strip(): value.strip() for name, _, value in pairs}

    def lives(self) -> bool:
        """Whether a server uses the folder now."""
        if self.version is None:
            return False
        try:
            self.run("pg_ctl", "status", "-D", self.data)
        except process.FailedError as exc:
            if exc.status in _NO_SERVER:
                return False
            raise
        return True

    def stop(self, mode: Stop) -> None:
        """End its server, and wait for that.

        Raises:
            UnavailableError: it did not run, or does not end.
        """
        self.run("pg_ctl", "-w", "-D", self.data, "stop", "-m", mode, timeout_s=_STOP_S)
