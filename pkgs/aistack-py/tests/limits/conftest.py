from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


class OwnRedis:
    """A server that a test may stop, pause and start again, at the same place."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "redis.sock"
        self.url = f"unix://{self.path}"
        self.server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", str(self.path), "--save", ""]
        command = ["redis-server", *options, "--dir", str(self.path.parent)]
        self.server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX) as client:
                if client.connect_ex(str(self.path)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.wait(10)

    def pause(self) -> None:
        assert self.server is not None
        os.kill(self.server.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self.server is not None
        os.kill(self.server.pid, signal.SIGCONT)


@pytest.fixture
def own_redis() -> Iterator[OwnRedis]:
    # Not pytest's folder: its name can be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="aistack-redis-"))
    redis = OwnRedis(folder)
    redis.start()
    try:
        yield redis
    finally:
        redis.resume()
        redis.kill()
        shutil.rmtree(folder)


@pytest.fixture
def secret() -> bytes:
    """Of this test alone: its keys in a Redis that others use too are its own."""
    return secrets.token_bytes(16)
