"""What is found of a host, and the exit code that it gives."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import structs

from aistack.host import certificates, units
from aistack.host.look import look
from aistack.host.model import EXIT_CODES, Finding, State, worst
from aistack.jobs.ledger import Ledger
from aistack.settings.schema import Host, Settings
from aistack.stores.postgres import Postgres

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)
WELL = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "Type": "notify",
        "Result": "success", "NRestarts": "0"}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "state", "says"),
    [
        ({}, "ok", "running"),
        ({"StatusText": "degraded: qdrant"}, "ok", "degraded: qdrant"),
        ({"ActiveState": "failed", "Result": "timeout"}, "critical", "failed: timeout"),
        ({"ActiveState": "inactive", "SubState": "dead"}, "critical", "is not running"),
        ({"ActiveState": "inactive", "SubState": "dead", "Type": "oneshot"}, "ok", "dead"),
        ({"LoadState": "not-found"}, "critical", "is not-found"),
        ({"ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "7"}, "critical",
         "7 restarts"),
        ({"ActiveState": "activating", "SubState": "start"}, "warning", "activating"),
        ({"ActiveState": "activating", "SubState": "start", "Type": "oneshot"}, "ok", "at work"),
        ({"NRestarts": "3"}, "warning", "after 3 restarts"),
    ],
)  # fmt: skip
def test_units(changed: dict[str, str], state: State, says: str) -> None:
    found = units.judge("a.service", WELL | changed)
    assert found.state == state
    assert says in found.told


def test_a_timer_that_does_not_wait_is_critical() -> None:
    timer = {"LoadState": "loaded", "ActiveState": "inactive", "SubState": "dead"}
    assert units.judge("a.timer", timer).state == "critical"
    waiting = timer | {"ActiveState": "active", "SubState": "waiting"}
    assert units.judge("a.timer", waiting) == Finding("timer", "a.timer", "ok", "waiting")


async def test_without_systemd_nothing_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = await units.look(["a.service"])
    assert found.state == "unknown"
    assert await units.look([]) == []


def certificate(
    begin: datetime, end: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kb.test")])
    names = x509.SubjectAlternativeName([x509.DNSName("kb.test")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(7)
        .not_valid_before(begin).not_valid_after(end)
        .add_extension(names, critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    return made, key


async def test_the_served_certificate_counts(tmp_path: Path) -> None:
    made, key = certificate(NOW - timedelta(days=80), NOW + timedelta(days=10))
    pem = tmp_path / "cert.pem"
    pem.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    asked: list[str | None] = []
    context.sni_callback = lambda _sock, name, _context: asked.append(name)

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        found = await certificates.look(f"kb.test@127.0.0.1:{port}")
        other = await certificates.look(f"other.test@127.0.0.1:{port}")
    assert found.state == "warning"
    assert "11 % of its time" in found.told
    assert asked == ["kb.test", "other.test"]
    assert (other.state, other.told) == ("critical", "is not of other.test")
    assert (await certificates.look(f"127.0.0.1:{port}")).state == "critical"
    assert (await certificates.look("no port")).state == "critical"


async def answering(body: bytes) -> tuple[asyncio.Server, str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(4096):  # else who looks at the port alone
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % len(body) + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_services_ports_and_disks(settings: Settings) -> None:
    words = {b'{"status": "ok"}': "ok", b'{"status": "degraded"}': "warning",
             b'{"status": "unavailable"}': "critical", b"<html>": "critical",
             b"[]": "critical"}  # fmt: skip
    servers = [await answering(body) for body in words]
    host = Host(
        services={str(n): url for n, (_, url) in enumerate(servers)} | {"x": "http://127.0.0.1:1"},
        ports=(servers[0][1].removeprefix("http://"), "127.0.0.1:1", "nonsense"),
        disk_paths=("/", "/nowhere"),
    )
    found = await look(structs.replace(settings, host=host))
    states = [f.state for f in found if f.kind == "service"]
    assert states == [*words.values(), "critical"]
    assert [f.state for f in found if f.kind == "port"] == ["ok", "critical", "critical"]
    assert [f.state for f in found if f.kind == "disk"][1] == "unknown"
    full = structs.replace(settings.health, disk_free=1.0)
    found = await look(structs.replace(settings, health=full, host=Host()))
    assert found[0].state in {"warning", "critical"}
    # Of several instances, the others stand in for one that is not ready.
    instances = {str(n): url for n, (_, url) in enumerate(servers)}
    found = await look(structs.replace(settings, host=Host(instances=instances, disk_paths=())))
    assert [f.state for f in found] == ["ok", *["warning"] * (len(words) - 1)]
    for server, _ in servers:
        server.close()


async def test_jobs_have_to_work_again_and_again(settings: Settings) -> None:
    host = Host(jobs={"gc": 24, "reindex": 24}, disk_paths=())
    settings = structs.replace(settings, host=host)
    postgres = Postgres(settings.postgres)
    ledger = Ledger(postgres)

    async def states() -> list[State]:
        return [finding.state for finding in await look(settings)]

    async def age(hours: int) -> None:
        async with postgres.dedicated() as conn:
            await conn.execute(
                "update job_totals set last_ok_at = last_ok_at - %s * interval '1 hour'", (hours,)
            )

    assert await states() == ["ok", "ok"], "not due yet"
    with pytest.raises(RuntimeError):
        async with ledger.run("gc"):
            raise RuntimeError
    assert await states() == ["critical", "ok"], "it only failed so far"
    async with ledger.run("gc"):
        pass
    assert await states() == ["ok", "ok"]
    with pytest.raises(RuntimeError):
        async with ledger.run("gc"):
            raise RuntimeError
    assert await states() == ["warning", "ok"]
    await age(25)
    assert await states() == ["critical", "ok"]
    away = structs.replace(settings.postgres, dsn="host=/nonexistent", timeout_s=0.5)
    found = await look(structs.replace(settings, postgres=away))
    assert [finding.state for finding in found] == ["unknown", "unknown"]


def test_the_worst_is_the_whole() -> None:
    def whole(*states: State) -> State:
        return worst([Finding("unit", "x", state, "") for state in states])

    assert whole() == "unknown"
    assert whole("ok", "ok") == "ok"
    assert whole("ok", "unknown") == "unknown"
    assert whole("unknown", "warning") == "warning"
    assert whole("warning", "critical", "unknown") == "critical"
    assert [EXIT_CODES[s] for s in ("ok", "warning", "critical", "unknown")] == [0, 1, 2, 3]


@pytest.fixture
def systemctl(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """A systemctl that says what it is told; returns the environment that has it."""

    def say(active: str) -> dict[str, str]:
        program = tmp_path / "bin" / "systemctl"
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f'#!/bin/sh\nprintf "LoadState=loaded\\nActiveState={active}\\nSubState=x\\n"\n'
        )
        program.chmod(0o755)
        return os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}"}

    return say


@pytest.mark.slow
def test_the_command(tmp_path: Path, systemctl: Callable[[str], dict[str, str]]) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[host]\nunits = ["a.service"]\ndisk_paths = []\n')

    def run(active: str, *more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "aistack", "--config", str(config), "health", *more]
        return subprocess.run(
            command, env=systemctl(active), capture_output=True, text=True, check=False
        )

    well = run("active")
    assert (well.returncode, well.stdout.splitlines()[0]) == (0, "OK: all 1 ok")
    sick = run("failed", "--wait", "2")
    assert (sick.returncode, sick.stdout.splitlines()[0]) == (2, "CRITICAL: 1 of 1 are not ok")
    assert "a.service" in sick.stdout
    told = json.loads(run("activating", "--json").stdout)
    assert (told["state"], told["findings"][0]["state"]) == ("warning", "warning")
    config.write_text("[host]\ndisk_paths = []\n")
    assert run("active").returncode == 3
