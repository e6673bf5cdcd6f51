"""The commands as a person or a timer runs them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psycopg
import pytest
from notices import heard
from psycopg.conninfo import make_conninfo
from served import free_port

from aistack.settings.schema import Settings


@pytest.fixture
def config(tmp_path: Path, settings: Settings) -> Path:
    """A settings file like that of a host; the collection `mine` is declared."""
    qdrant = settings.qdrant
    where = (
        f"path = {json.dumps(qdrant.path)}" if qdrant.path else f"url = {json.dumps(qdrant.url)}"
    )
    path = tmp_path / "config.toml"
    path.write_text(
        f"[aidb]\nport = {free_port()}\n"
        f"[postgres]\ndsn = {json.dumps(settings.postgres.dsn)}\n"
        f"[qdrant]\n{where}\nprefix = {json.dumps(qdrant.prefix)}\n"
        "[collections.mine]\n"
    )
    return path


def run(config: Path, *args: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "aistack", "--config", str(config), *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.timeout(300)
def test_import_ask_and_rebuild(config: Path, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "limits.md").write_text("# Limits\n\nlimit_req_zone bounds the request rate.")
    (docs / "empty.md").write_text("")
    (docs / "binary.md").write_bytes(b"\x7fELF\x00\x01")
    (docs / ".hidden.md").write_text("not this")
    said = run(config, "ingest", "-c", "mine", str(docs), code=3)
    assert "skipped empty.md: the document is empty" in said
    assert "skipped binary.md" in said
    assert "1 created" in said
    assert "1 unchanged" in run(config, "ingest", "-c", "mine", str(docs), code=3)
    page = json.loads(run(config, "query", "-c", "mine", "request rate", "--json"))
    assert page["hits"][0]["path"] == "limits.md"
    run(config, "reindex", "mine")
    page = json.loads(run(config, "query", "-c", "mine", "request rate", "--json"))
    assert page["total"] == {"value": 1, "relation": "exact"}


def test_exit_codes_tell_what_is_wrong(config: Path, settings: Settings, tmp_path: Path) -> None:
    assert "no such collection" in run(config, "query", "-c", "none", "x", code=5)
    assert "did you mean postgres" in run(bad(tmp_path, "[postgrs]\n"), "config", "check", code=4)
    away = bad(tmp_path, '[postgres]\ndsn = "host=/nonexistent"\n')
    assert "database does not answer" in run(away, "migrate", code=75)
    with psycopg.connect(settings.postgres.dsn) as conn:
        conn.execute("create role stranger login")
    weak = make_conninfo(settings.postgres.dsn, user="stranger")
    other = bad(tmp_path, f"[postgres]\ndsn = {json.dumps(weak)}\n")
    for words in (["migrate"], ["keys", "list"]):
        assert "PostgreSQL's role stranger may not do this" in run(other, *words, code=4)
    run(config, "config", "check")
    json.loads(run(config, "config", "schema"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[postgres]\ndsn = "db.example.org"', "postgres.dsn is no connection string"),
        ('[backup]\ndsn = "postgresql://["', "backup.dsn is no connection string"),
        ('[redis]\nurl = "db.example.org:6379"', "redis.url is no URL"),
        ('[qdrant]\nurl = "db.example.org:6333"', "qdrant.url"),
        ('[embeddings]\nendpoint = "x/v1"\nmodel = "m"\ndimension = 3', "embeddings.endpoint"),
        ('[rate_limits]\ntrusted_proxies = ["10.0.0.7/24"]', "rate_limits.trusted_proxies"),
        ('[rate_limits]\ndeny_without_redis = ["GET /v1"]', "no such route: GET /v1"),
    ],
)
def test_what_no_service_starts_with_fails_the_check(tmp_path: Path, text: str, says: str) -> None:
    told = run(bad(tmp_path, text + "\n"), "config", "check", code=4)
    assert says in told
    assert "Traceback" not in told


def test_routes_of_both_services_may_be_denied(tmp_path: Path) -> None:
    routes = '["DELETE /v1/documents/{id}", "POST /v1/interactions", "POST /mcp"]'
    run(bad(tmp_path, f"[rate_limits]\ndeny_without_redis = {routes}\n"), "config", "check")


def bad(folder: Path, text: str) -> Path:
    path = folder / "bad.toml"
    path.write_text(text)
    return path


def test_serve_answers_with_a_key_and_stops_cleanly(config: Path) -> None:
    key = run(config, "keys", "create", "test", "--scope", "write").strip()
    port = next(line for line in config.read_text().splitlines() if "port" in line).split()[-1]
    notices = config.parent / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(notices))
        systemd.settimeout(60)
        server = subprocess.Popen(
            [sys.executable, "-m", "aistack", "--config", str(config), "serve"],
            env=os.environ | {"NOTIFY_SOCKET": str(notices)},
            stderr=subprocess.PIPE,
        )
        try:
            assert heard(systemd) == b"READY=1"
            check_api(f"http://127.0.0.1:{port}", key)
            server.send_signal(signal.SIGTERM)
            assert heard(systemd) == b"STOPPING=1"
        finally:
            server.terminate()
            _, log = server.communicate(timeout=60)
    assert key.encode() not in log
    assert b"Traceback" not in log


def check_api(url: str, key: str) -> None:
    with httpx.Client(base_url=url, timeout=60) as http:
        assert http.get("/health/live").status_code == 200
        assert http.get("/v1/collections").status_code == 401
        http.headers["Authorization"] = f"Bearer {key}"
        document = {"path": "a.md", "content": "# A\n\nservices.nginx.enable = true;"}
        assert http.put("/v1/collections/mine/documents", json=document).status_code == 201
        deadline = time.monotonic() + 60
        found: list[object] = []
        while not found and time.monotonic() < deadline:
            ask = {"query": "services.nginx", "collection": "mine"}
            answer = http.post("/v1/query", json=ask)
            assert answer.status_code in {200, 503}, answer.text
            found = answer.json().get("hits", [])
            time.sleep(0.05)
        assert found
        assert http.get("/health/ready").status_code == 200
        problem = http.post("/v1/query", json={"query": "x", "collection": "nothing"})
        assert problem.status_code == 404
        assert problem.headers["content-type"].startswith("application/problem+json")
