"""A service as systemd runs it: a process of its own with a socket for notices."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def write_config(
    folder: Path, dsn: str, workers: int, more: str = "", section: str = "aidb"
) -> tuple[Path, str]:
    """Settings of a service without a Qdrant that answers, and its URL."""
    path, port = folder / "config.toml", free_port()
    path.write_text(
        f"[{section}]\nport = {port}\nworkers = {workers}\n{more}\n"
        f"[postgres]\ndsn = {json.dumps(dsn)}\npool_min = 0\n"
        f"[qdrant]\nurl = 'http://127.0.0.1:{free_port()}'\n"
    )
    return path, f"http://127.0.0.1:{port}"


def make_key(config: Path, *options: str) -> str:
    """An API key of the stack, by the command line."""
    command = [sys.executable, "-m", "aistack", "--config", str(config), "keys", "create", "test"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextmanager
def serving(
    config: Path, runtime: Path, service: str = "aidb", **more: str
) -> Iterator[tuple["subprocess.Popen[bytes]", socket.socket]]:
    """The service's process, and the socket on which it tells systemd of itself."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(runtime / "systemd"))
        systemd.settimeout(60)
        environment = {"NOTIFY_SOCKET": str(runtime / "systemd"), "RUNTIME_DIRECTORY": str(runtime)}
        environment |= more
        command = [sys.executable, "-m", "aistack", "--config", str(config), "serve", service]
        server = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL)
        try:
            yield server, systemd
        finally:
            server.terminate()
            server.wait(30)
