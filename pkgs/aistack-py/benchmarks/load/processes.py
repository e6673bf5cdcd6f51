"""The servers of a run as processes: started, waited for, their memory looked at, ended."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

START_S = 120


class Processes:
    """All that a run started; leaving the context ends it, last first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = contextlib.ExitStack()
        self.pids: dict[str, int] = {}

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def start(self, name: str, command: Sequence[str | Path], port: int | str, **env: str) -> None:
        """Start a server; wait until it takes connections on its port, or on a socket's path."""
        log = self._open.enter_context((self._folder / f"{name.replace(' ', '-')}.log").open("wb"))
        process = subprocess.Popen(
            [str(part) for part in command],
            env=os.environ | env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
        )
        self._open.callback(_end, process)
        self.pids[name] = process.pid
        deadline = time.monotonic() + START_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                said = Path(log.name).read_text("utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"{name} does not start: {said}")
            time.sleep(0.05)

    def memory(self) -> dict[str, float]:
        """Resident MB of each; of one with children what they all allocated, nothing shared.

        PostgreSQL's shared buffers fill up to the size that they were given, which is no growth.
        """
        return {name: round(_memory(pid) / 1024, 1) for name, pid in self.pids.items()}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _listens(port: int | str) -> bool:
    family = socket.AF_UNIX if isinstance(port, str) else socket.AF_INET
    with socket.socket(family) as sock:
        sock.settimeout(5)
        try:
            sock.connect(port if isinstance(port, str) else ("127.0.0.1", port))
        except OSError:
            return False
    return True


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _memory(pid: int) -> int:
    family = [pid, *_children(pid)]
    if len(family) == 1:
        return _kilobytes(pid, "status", "VmRSS:")
    return sum(_kilobytes(one, "smaps_rollup", "Pss_Anon:") for one in family)


def _children(pid: int) -> list[int]:
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text("ascii").split():
            found += [int(child), *_children(int(child))]
    return found


def _kilobytes(pid: int, file: str, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/{file}").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended meanwhile
    return int(text.partition(f"\n{name}")[2].split()[0])
