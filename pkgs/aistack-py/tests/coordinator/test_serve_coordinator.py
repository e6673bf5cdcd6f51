"""`aistack serve coordinator` as systemd runs it, beside the same database as AIDB."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from notices import heard


@pytest.fixture
def runtime() -> Iterator[Path]:
    # Not pytest's folder: its name can be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="aistack-run-"))
    yield folder
    shutil.rmtree(folder)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_it_listens_on_its_own_port(tmp_path: Path, runtime: Path, dsn: str, workers: int) -> None:
    config, port = tmp_path / "config.toml", free_port()
    config.write_text(
        f"[aidb]\nport = {free_port()}\n[coordinator]\nport = {port}\nworkers = {workers}\n"
        f"[postgres]\ndsn = {json.dumps(dsn)}\npool_min = 0\npool_max = 2\n"
        f"[qdrant]\nurl = 'http://127.0.0.1:{free_port()}'\n"
    )
    aistack = [sys.executable, "-m", "aistack", "--config", str(config)]
    made = [*aistack, "keys", "create", "test", "--scope", "write"]
    key = subprocess.run(made, capture_output=True, text=True, check=True).stdout.strip()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(runtime / "systemd"))
        systemd.settimeout(60)
        environment = {"NOTIFY_SOCKET": str(runtime / "systemd"), "RUNTIME_DIRECTORY": str(runtime)}
        server = subprocess.Popen(
            [*aistack, "serve", "coordinator"],
            env=os.environ | environment,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert heard(systemd) == b"READY=1"
            url = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=20) as client:
                assert client.get("/health/live").status_code == 200
                # The index is away: recording does not need it.
                body = {"question": "how", "response": "so", "outcome": "success"}
                assert client.post("/v1/interactions", json=body).status_code == 201
                assert client.get("/v1/stats").json()["solutions"]["total"] == 1
                assert client.post("/v1/query", json={}).status_code == 404
                assert "coordinator_interactions_total 1.0" in client.get("/metrics").text
        finally:
            server.terminate()
            # One worker ends by the signal itself, as uvicorn does; several by their supervisor.
            assert server.wait(30) in (0, -signal.SIGTERM)


def test_a_service_that_there_is_not_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aistack", "--config", str(tmp_path / "c"), "serve", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "coordinator" in done.stderr
