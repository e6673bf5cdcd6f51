"""A real nginx, and certificates for it."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from aistack.settings.schema import Tls
from aistack.tls.pair import Pair

DOMAIN = "kb.test"
NOW = datetime.now(UTC).replace(microsecond=0)

_CONFIG = """
{user}
worker_processes 2;
pid {home}/{link}.pid;
error_log {home}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{https} ssl;
        server_name {domain};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {folder}/{link}/fullchain.pem;
        ssl_certificate_key {folder}/{link}/privkey.pem;
        location / {{ return 200 well; }}
    }}
    server {{
        listen 127.0.0.1:{http};
        location ^~ /.well-known/acme-challenge/ {{ root {home}/webroot; }}
    }}
}}
"""


class Nginx:
    """One in the foreground; `live` and `next` are read as on a host."""

    def __init__(self, home: Path) -> None:
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin") or shutil.which(
            "nginx"
        )
        if program is None:
            pytest.fail("nginx is missing: apt-get install nginx-light", pytrace=False)
        self.home = home
        self.folder = home / "tls"
        self.folder.mkdir()
        (home / "webroot").mkdir()
        self.https, self.http = free_ports(2)
        self._program = program
        for link in ("live", "next"):
            # Workers of root's nginx would be nobody, who sees nothing of pytest's folders.
            text = _CONFIG.format(
                user="user root;" if Path("/proc/self").stat().st_uid == 0 else "",
                home=home, link=link, folder=self.folder, https=self.https, http=self.http,
                domain=DOMAIN,
            )  # fmt: skip
            (home / f"{link}.conf").write_text(text)

    def command(self, link: str, *more: str) -> tuple[str, ...]:
        log = str(self.home / "error.log")
        return (self._program, "-e", log, "-p", str(self.home), "-c", f"{link}.conf", *more)

    def settings(self, **changes: object) -> Tls:
        plain: dict[str, object] = {
            "names": (DOMAIN,),
            "folder": str(self.folder),
            "served_at": f"127.0.0.1:{self.https}",
            "test_command": self.command("next", "-t"),
            "reload_command": self.command("live", "-s", "reload"),
        }
        return Tls(**plain | changes)  # type: ignore[arg-type]

    @contextmanager
    def running(self) -> Iterator["Nginx"]:
        server = subprocess.Popen(self.command("live", "-g", "daemon off;"), stderr=subprocess.PIPE)
        try:
            deadline = time.monotonic() + 30
            while not (listens(self.https) and self._told_its_pid()):
                if server.poll() is not None or time.monotonic() > deadline:
                    pytest.fail((self.home / "error.log").read_text(), pytrace=False)
                time.sleep(0.02)
            yield self
        finally:
            server.terminate()
            server.communicate(timeout=10)

    def _told_its_pid(self) -> bool:
        """It listens before it makes that file, and makes it before it writes into it."""
        pid = self.home / "live.pid"
        return pid.exists() and pid.read_text() != ""


def free_ports(number: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def issue(
    *names: str,
    begin: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=89),
    issuer: str = "Somebody",
    issuer_end: datetime = NOW + timedelta(days=7300),
    weak: bool = False,
) -> Pair:
    """A certificate and the one that issued it."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    short = 1024  # openssl takes 2048 and more
    key = (
        rsa.generate_private_key(65537, short) if weak else ec.generate_private_key(ec.SECP256R1())
    )
    parent = ec.generate_private_key(ec.SECP256R1())
    by = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a host")])

    def build(subject: x509.Name, public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
              until: datetime, *extensions: x509.ExtensionType) -> x509.Certificate:  # fmt: skip
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(by).public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin - timedelta(days=400) if subject == by else begin)
            .not_valid_after(until)
        )  # fmt: skip
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(parent, hashes.SHA256())

    san = x509.SubjectAlternativeName([
        x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
        for name in names or (DOMAIN,)
    ])  # fmt: skip
    leaf = build(own, key.public_key(), end, san)
    ca = build(by, parent.public_key(), issuer_end, x509.BasicConstraints(ca=True, path_length=0))
    return Pair((leaf, ca), key)


def store(pair: Pair, folder: Path) -> Path:
    """As certbot leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fullchain.pem").write_bytes(pair.certificate_pem)
    (folder / "privkey.pem").write_bytes(pair.key_pem)
    return folder
