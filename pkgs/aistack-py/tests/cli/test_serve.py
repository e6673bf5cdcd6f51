"""`aistack serve` with several workers, as systemd runs it. Needs no Qdrant: it may be away."""

import os
import re
import signal
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import uvicorn
from notices import heard
from served import make_key, serving, write_config

from aistack.cli import serve

ROUTE = "/health/live"


def workers_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def live(url: str) -> None:
    # A connection of its own: any worker may take it.
    assert httpx.get(url + ROUTE, timeout=4).status_code == 200


def counted(url: str, key: str) -> float:
    text = httpx.get(f"{url}/metrics", headers={"X-API-Key": key}).text
    found = re.findall(rf'^aidb_http_requests_total{{.*"{ROUTE}".*}} (\S+)$', text, re.MULTILINE)
    assert len(found) <= 1, "each worker tells its own"
    assert "aidb_outbox_pending " in text
    return float(found[0]) if found else 0.0


def silent(systemd: socket.socket) -> bool:
    systemd.settimeout(0.5)
    try:
        return not heard(systemd)
    except TimeoutError:
        return True
    finally:
        systemd.settimeout(60)


def test_workers_are_one_service(tmp_path: Path, runtime: Path, dsn: str) -> None:
    config, url = write_config(tmp_path, dsn, workers=2)
    key = make_key(config)
    with serving(config, runtime) as (server, systemd):
        assert heard(systemd) == b"READY=1"
        workers = workers_of(server.pid)
        assert len(workers) == 2
        for other in workers:
            # Each answers alone, and the metrics know of what both did.
            os.kill(other, signal.SIGSTOP)
            try:
                for _ in range(5):
                    live(url)
            finally:
                os.kill(other, signal.SIGCONT)
        assert counted(url, key) == 10

        os.kill(workers[0], signal.SIGKILL)
        deadline = time.monotonic() + 20
        while set(workers_of(server.pid)) <= set(workers) and time.monotonic() < deadline:
            time.sleep(0.05)
        live(url)
        assert counted(url, key) == 11, "a worker that died does not count any more"
        assert silent(systemd), "READY=1 is sent twice"

        server.send_signal(signal.SIGTERM)
        assert heard(systemd) == b"STOPPING=1"
        assert server.wait(30) == 0
        assert silent(systemd), "STOPPING=1 is sent twice"
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert [p.name for p in runtime.iterdir()] == ["systemd"]


@pytest.mark.slow
def test_a_worker_that_cannot_start_ends_the_service(
    tmp_path: Path, runtime: Path, empty_dsn: str
) -> None:
    config, _ = write_config(tmp_path, empty_dsn, workers=2)
    with serving(config, runtime) as (server, systemd):
        assert server.wait(90) == 3, "as with one worker"
        assert silent(systemd)


@pytest.mark.slow
def test_a_worker_whose_loop_is_blocked_is_replaced(
    tmp_path: Path, runtime: Path, dsn: str
) -> None:
    config, url = write_config(tmp_path, dsn, workers=2)
    with serving(config, runtime, WATCHDOG_USEC="2000000") as (server, systemd):
        assert heard(systemd) == b"READY=1"
        stuck, well = workers_of(server.pid)
        os.kill(stuck, signal.SIGSTOP)  # nothing of it runs, as in a loop that never ends
        deadline = time.monotonic() + 30
        while len(now := workers_of(server.pid)) != 2 or stuck in now:
            assert time.monotonic() < deadline, now
            time.sleep(0.1)
        assert well in now, "the other one goes on"
        while systemd.recv(1024) != b"WATCHDOG=1":
            pass
        for _ in range(5):
            live(url)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_it_is_served_until_balancers_know(
    tmp_path: Path, runtime: Path, dsn: str, workers: int
) -> None:
    drain_s = 5.0
    config, url = write_config(tmp_path, dsn, workers, f"drain_s = {drain_s}")
    with serving(config, runtime) as (server, systemd), httpx.Client(base_url=url) as kept:
        assert heard(systemd) == b"READY=1"
        assert kept.get("/health/ready").status_code == 200
        told = time.monotonic()
        for process in (*(workers_of(server.pid) if workers > 1 else ()), server.pid):
            os.kill(process, signal.SIGTERM)  # as systemd does: to all of them
        refused = 0
        while time.monotonic() - told < drain_s - 2:
            ready = httpx.get(f"{url}/health/ready")
            live(url)
            assert kept.get("/health/startup").status_code == 200
            if ready.status_code == 503:
                assert ready.json() == {"status": "unavailable"}
                refused += 1
            else:
                assert not refused, "whoever drains is never ready again"
            time.sleep(0.05)
        assert refused >= 3, "balancers have time to hear of it"
        assert server.wait(30) in (0, -signal.SIGTERM)
        assert drain_s - 0.1 < time.monotonic() - told


def test_without_a_time_to_drain_it_ends_at_once(tmp_path: Path, runtime: Path, dsn: str) -> None:
    config, _ = write_config(tmp_path, dsn, workers=1)
    with serving(config, runtime) as (server, systemd):
        assert heard(systemd) == b"READY=1"
        server.send_signal(signal.SIGTERM)
        server.wait(10)  # requests are waited for 25 s, balancers not at all


def test_the_supervisor_ends_only_whom_it_does_not_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvicorn asks a thread of the worker: that answers also where the loop is blocked."""
    killed: list[int] = []
    told: list[str] = []
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    monkeypatch.setattr(serve.os, "kill", lambda pid, _signal: killed.append(pid))
    monkeypatch.setattr(serve, "notify", told.append)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        supervisor = serve.Supervisor(uvicorn.Config("x:y", workers=3), [], notices)
    supervisor.processes = [SimpleNamespace(pid=pid) for pid in (11, 12, 13)]
    now = time.monotonic()
    supervisor._heard = {11: now - 1, 12: now - 3}  # and 13 has only begun
    supervisor._watch()
    assert killed == [12]
    assert told == ["WATCHDOG=1"]
    supervisor.processes = [SimpleNamespace(pid=pid) for pid in (11, 13, 14)]
    supervisor._watch()
    assert killed == [12], "its successor has its own time"
    monkeypatch.delenv("WATCHDOG_USEC")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        quiet = serve.Supervisor(uvicorn.Config("x:y", workers=3), [], notices)
    quiet.processes, quiet._heard = supervisor.processes, {11: now - 99}
    quiet._watch()
    assert killed == [12]
    assert told == ["WATCHDOG=1", "WATCHDOG=1"]
