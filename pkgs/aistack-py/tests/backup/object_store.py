"""An S3 that speaks TLS, as pgBackRest wants it: moto's server behind a real nginx."""

import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from served import free_port

from aistack.settings.schema import Repository
from aistack.tls.authority import Authority

BUCKET = "aistack-test"

_CONFIG = """
{user}
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log {home}/access.log;
    client_max_body_size 0;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {home}/fullchain.pem;
        ssl_certificate_key {home}/privkey.pem;
        location / {{
            proxy_pass http://127.0.0.1:{behind};
            proxy_set_header Host $http_host;  # it is signed, port and all
        }}
    }}
}}
"""


@contextmanager
def object_store(home: Path) -> Iterator[tuple[Repository, Path]]:
    """A repository in an empty bucket, and the log of what was asked."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin") or shutil.which("nginx")
    if program is None:
        pytest.fail("nginx is missing: apt-get install nginx-light", pytrace=False)
    pair = Authority(home).issue(["localhost"], datetime.now(UTC), days=2)
    (home / "fullchain.pem").write_bytes(pair.certificate_pem)
    (home / "privkey.pem").write_bytes(pair.key_pem)
    (home / "ca.pem").chmod(0o644)
    port, behind = free_port(), free_port()
    user = "user root;" if Path("/proc/self").stat().st_uid == 0 else ""
    text = _CONFIG.format(user=user, home=home, port=port, behind=behind)
    (home / "nginx.conf").write_text(text)
    own = [program, "-e", str(home / "error.log"), "-c", str(home / "nginx.conf")]
    servers = (
        [*own, "-g", "daemon off;"],
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(behind)],
    )
    for name in ("key-id", "key-secret"):
        (home / name).write_text(f"the-{name}\n")
    with ExitStack() as resources:
        log = resources.enter_context((home / "moto.log").open("w"))
        for server in servers:
            running = subprocess.Popen(server, stdout=log, stderr=log)
            resources.callback(running.wait, 10)
            resources.callback(running.terminate)
        make_bucket(f"https://localhost:{port}/{BUCKET}", home)
        yield (
            Repository(
                kind="s3",
                host="localhost",
                port=port,
                bucket=BUCKET,
                path="/host-a",
                key_id_file=str(home / "key-id"),
                key_secret_file=str(home / "key-secret"),
                ca_file=str(home / "ca.pem"),
            ),
            home / "access.log",
        )


def make_bucket(url: str, home: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(home / "ca.pem"))
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.put(url, verify=trusting).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, (home / "moto.log").read_text()
        time.sleep(0.1)
