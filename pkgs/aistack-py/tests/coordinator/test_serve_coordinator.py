"""`aistack serve coordinator` as systemd runs it, beside the same database as AIDB."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from notices import heard
from served import free_port, make_key, serving


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_it_listens_on_its_own_port(tmp_path: Path, runtime: Path, dsn: str, workers: int) -> None:
    config, port = tmp_path / "config.toml", free_port()
    config.write_text(
        f"[aidb]\nport = {free_port()}\n[coordinator]\nport = {port}\nworkers = {workers}\n"
        f"[postgres]\ndsn = {json.dumps(dsn)}\npool_min = 0\npool_max = 2\n"
        f"[qdrant]\nurl = 'http://127.0.0.1:{free_port()}'\n"
    )
    key = make_key(config, "--scope", "write")
    with serving(config, runtime, "coordinator") as (server, systemd):
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
    # One worker ends by the signal itself, as uvicorn does; several by their supervisor.
    assert server.returncode in (0, -signal.SIGTERM)


def test_a_service_that_there_is_not_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aistack", "--config", str(tmp_path / "c"), "serve", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "coordinator" in done.stderr
