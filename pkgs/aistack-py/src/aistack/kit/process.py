"""The only place that starts other programs."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aistack.errors import ConfigError, UnavailableError

_STDERR_LINES = 5
_STDERR_CHARS = 2000
_LOOK_S = 0.02
_GRACE_S = 10


Command = list[str | Path]
"""A program and its arguments."""


class User(NamedTuple):
    """Whom a program runs as."""

    uid: int
    gid: int


class FailedError(UnavailableError):
    """A program ended with an exit status that is not 0."""

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


class LateError(UnavailableError):
    """A program did not end in time, and was killed."""


def run(
    command: Sequence[str | Path],
    timeout_s: float,
    user: User | None = None,
    extra: Mapping[str, str] | None = None,
    inside: Path | None = None,
    *,
    given: str | None = None,
) -> str:
    """Run a program to its end, without a shell.

    Args:
        command: the program and its arguments.
        timeout_s: seconds after which the program is killed.
        user: run it as this user (the caller is root); None: as we are.
        extra: more environment for it; the place for secrets, which arguments are not.
        inside: its working folder; None: ours.
        given: what it reads from standard input; None: nothing.

    Returns:
        What the program wrote to standard output.

    Raises:
        ConfigError: the program, or ``setpriv`` where it is needed, is not installed.
        FailedError: it failed; holds its last lines of standard error.
        LateError: it took too long.
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
            env=_environment(extra),
            cwd=inside,
        )
    except subprocess.TimeoutExpired as exc:
        raise LateError(f"{name} did not end within {timeout_s:g} s") from exc
    except OSError as exc:
        raise ConfigError(f"cannot run {command[0]}: {exc.strerror}") from exc
    if done.returncode != 0:
        said = _last_lines(done.stderr or done.stdout)
        raise FailedError(f"{name} failed with status {done.returncode}: {said}", done.returncode)
    return done.stdout


def again(words: Sequence[str | Path], timeout_s: float, user: User | None = None) -> str:
    """Run another of our own commands to its end; all else is as with `run`."""
    return run([*_ours("aistack"), *words], timeout_s, user, _where())


def through(module: str, words: Sequence[str], given: bytes, timeout_s: float) -> bytes:
    """Bytes through one of our own modules, in a process that can be killed.

    Args:
        module: its name; it reads standard input and writes standard output.
        words: its arguments.
        given: what it reads.
        timeout_s: seconds after which it is killed.

    Raises:
        FailedError: it failed, or a signal ended it: then the status is that of it, negative.
        LateError: it took too long.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a list, never a shell
            [*_ours(module), *words],
            input=given,
            capture_output=True,
            check=False,
            timeout=timeout_s,
            env=_environment(_where()),
        )
    except subprocess.TimeoutExpired as exc:
        raise LateError(f"{module} did not end within {timeout_s:g} s") from exc
    if done.returncode != 0:
        said = _last_lines(done.stderr.decode("utf-8", "replace"))
        detail = f"{module} failed with status {done.returncode}: {said}"
        raise FailedError(detail, done.returncode)
    return done.stdout


def _ours(module: str) -> list[str]:
    # Never the modules of the folder we are in.
    return [sys.executable, "-P", "-m", module]


def _where() -> dict[str, str]:
    # Its modules are where ours are: the start script of a package of Nix adds their folders by
    # itself, and the interpreter alone knows none of them.
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def feed(
    producer: Sequence[str | Path],
    consumer: Sequence[str | Path],
    timeout_s: float,
    user: User | None = None,
    extra: Mapping[str, str] | None = None,
) -> str:
    """Run two programs, the output of the first into the second.

    The second never takes half an output for a whole one: it is killed before it could see the end
    of what a failed producer wrote.

    Returns:
        What the second wrote to standard output.

    Raises:
        ConfigError: one of them is not installed.
        UnavailableError: one of them failed, or both took longer than ``timeout_s`` seconds.
    """
    names = f"{Path(producer[0]).name} into {Path(consumer[0]).name}"
    environment = _environment(extra)
    until = time.monotonic() + timeout_s
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as answer:
        # Both ends stay open here: the consumer sees the end only when we close ours.
        reading, writing = os.pipe()
        started: list[subprocess.Popen[bytes]] = []
        try:
            started = [
                subprocess.Popen(  # noqa: S603 - a list, never a shell
                    [*_become(user), *map(str, line)],
                    stdin=given, stdout=to, stderr=said, env=environment,
                )
                for line, given, to in (
                    (consumer, reading, answer),
                    (producer, subprocess.DEVNULL, writing),
                )
            ]  # fmt: skip
            taking, giving = started
            while giving.poll() is None:
                if taking.poll() is not None or time.monotonic() > until:
                    break
                time.sleep(_LOOK_S)
            if giving.poll() == 0:
                os.close(writing)
                writing = -1
                taking.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        except OSError as exc:
            raise ConfigError(f"cannot run {names}: {exc.strerror}") from exc
        finally:
            for one in started:
                if one.poll() is None:
                    one.kill()
                one.wait()
            os.close(reading)
            if writing >= 0:
                os.close(writing)
        if any(one.returncode != 0 for one in started):
            said.seek(0)
            words = _last_lines(said.read().decode("utf-8", "replace"))
            raise UnavailableError(f"{names} failed or took more than {timeout_s:g} s: {words}")
        answer.seek(0)
        return answer.read().decode("utf-8", "replace")


def together(commands: Sequence[tuple[Command, Mapping[str, str]]]) -> list[int]:
    """Run programs at once, each with its environment, and wait for all; their exit statuses.

    What they say goes where ours goes.

    Raises:
        ConfigError: one is not installed.
    """
    started = []
    try:
        for line, extra in commands:
            started.append(
                subprocess.Popen(  # noqa: S603 - a list, never a shell
                    [*map(str, line)], stdin=subprocess.DEVNULL, env=_environment(extra)
                )
            )
    except OSError as exc:
        raise ConfigError(f"cannot run {line[0]}: {exc.strerror}") from exc
    finally:
        statuses = [one.wait() for one in started]
    return statuses


@contextlib.contextmanager
def running(
    command: Sequence[str | Path], extra: Mapping[str, str], folder: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server until the block ends; what it says goes to the file ``log`` of its folder.

    Raises:
        ConfigError: it is not installed.
    """
    with (folder / "log").open("wb") as log:
        try:
            server = subprocess.Popen(  # noqa: S603 - a list, never a shell
                [*map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=_environment(extra), cwd=folder,
            )  # fmt: skip
        except OSError as exc:
            raise ConfigError(f"cannot run {command[0]}: {exc.strerror}") from exc
        try:
            yield server
        finally:
            server.terminate()
            try:
                server.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def cores() -> int:
    """How many programs can work at once: the processors that are ours, at least 2."""
    return max(2, len(os.sched_getaffinity(0)))


def working_in(folder: Path) -> set[int]:
    """Ids of the processes whose working folder this is, or one below it."""
    found = set()
    real = folder.resolve()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended, or it is another user's
                place = (entry / "cwd").readlink()
                if place == real or real in place.parents:
                    found.add(int(entry.name))
    return found


def owner(path: Path) -> User | None:
    """Whom to become for work on another user's folder; None: we are no root, or it is root's."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(FileNotFoundError):
        made_by = path.stat()
        if made_by.st_uid != 0:
            return User(made_by.st_uid, made_by.st_gid)
    return None


def give(path: Path, user: User | None) -> None:
    """Make a path another user's; None: it stays ours."""
    if user is not None:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def _environment(extra: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if extra is None else {**os.environ, **extra}


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
