"""The demo: what it does when its database ends, and with a key that is none."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from served import free_port

from aistack.cli.up import _key
from aistack.settings.schema import Settings
from aistack.wiring import open_stack


@pytest.mark.timeout(180)
def test_a_demo_whose_database_is_killed_ends_and_says_so(tmp_path: Path) -> None:
    data, said = tmp_path / "demo", tmp_path / "said"
    command = [sys.executable, "-m", "aistack", "up", "--data", str(data)]
    with said.open("wb") as out:
        demo = subprocess.Popen(
            [*command, "--port", str(free_port())], stdout=subprocess.DEVNULL, stderr=out
        )
    try:
        until = time.monotonic() + 90
        while "Ctrl-C ends it" not in said.read_text("utf-8"):
            assert demo.poll() is None, said.read_text("utf-8")
            assert time.monotonic() < until
            time.sleep(0.1)
        pid = (data / "postgresql" / "data" / "postmaster.pid").read_text("utf-8").split()[0]
        os.kill(int(pid), signal.SIGKILL)
        assert demo.wait(60) == 75
    finally:
        demo.kill()
        demo.wait()
    told = said.read_text("utf-8")
    assert "aistack: the demo's PostgreSQL has ended" in told
    assert str(data / "postgresql" / "server.log") in told
    assert "Traceback" not in told


def test_a_port_that_is_taken_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "aistack", "up", "--data", str(tmp_path / "demo")]
        done = subprocess.run(
            [*command, "--port", str(port)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 4
    assert done.stderr == (
        f"aistack: cannot listen at 127.0.0.1:{port} (Address already in use); choose another by"
        " --port\n"
    )
    assert not (tmp_path / "demo").exists()


@pytest.mark.anyio
async def test_a_key_that_opens_nothing_is_made_anew(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "admin.key"
    async with open_stack(settings, index=False) as stack:
        first = await _key(stack, path)
        assert await _key(stack, path) == first
        for wrong in ("", f"aistack_0123456789ab_{'x' * 43}\n"):
            path.write_text(wrong)
            key = await _key(stack, path)
            assert path.read_text() == f"{key}\n"
            assert path.stat().st_mode & 0o777 == 0o600
            assert (await stack.keys.verify(key)).allows("admin")
