"""The only place that starts other programs."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from aistack.errors import ConfigError, UnavailableError

_STDERR_LINES = 5
_STDERR_CHARS = 2000


class User(NamedTuple):
    """Whom a program runs as."""

    uid: int
    gid: int


def run(
    command: Sequence[str | Path],
    timeout_s: float,
    user: User | None = None,
    *,
    given: str | None = None,
) -> str:
    """Run a program to its end, without a shell.

    Args:
        command: the program and its arguments.
        timeout_s: seconds after which the program is killed.
        user: run it as this user (the caller is root); None: as we are.
        given: what it reads from standard input; None: nothing.

    Returns:
        What the program wrote to standard output.

    Raises:
        ConfigError: the program, or ``setpriv`` where it is needed, is not installed.
        UnavailableError: it failed or took too long; holds its last lines of standard error.
    """
    name = Path(command[0]).name
    line = [*_become(user), *map(str, command)]
    try:
        done = subprocess.run(  # noqa: S603 - a list, never a shell
            line,
            input=given or "",
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as exc:
        raise UnavailableError(f"{name} did not end within {timeout_s:g} s") from exc
    except OSError as exc:
        raise ConfigError(f"cannot run {command[0]}: {exc.strerror}") from exc
    if done.returncode != 0:
        said = _last_lines(done.stderr or done.stdout)
        raise UnavailableError(f"{name} failed with status {done.returncode}: {said}")
    return done.stdout


def _become(user: User | None) -> list[str]:
    if user is None:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ConfigError("setpriv is missing: install util-linux, or do not run as root")
    # The ambient capability lets the other user pass private folders above its own, as root may.
    return [
        setpriv,
        f"--reuid={user.uid}",
        f"--regid={user.gid}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        "--",
    ]


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-_STDERR_LINES:])[-_STDERR_CHARS:] or "it said nothing"
