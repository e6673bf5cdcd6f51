"""Pebble, an ACME server for tests, with the faults that it can have."""

import datetime as dt
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from webserver import free_ports, listens, store

from aistack.tls.authority import Authority

PROGRAMS = ("pebble", "pebble-challtestsrv", "certbot")


@dataclass
class Pebble:
    """One that is started and stopped by its context."""

    home: Path
    challenge_port: int
    """Where it asks hosts for the proof."""
    faults: dict[str, str]

    def __post_init__(self) -> None:
        for program in PROGRAMS:
            if shutil.which(program) is None:
                pytest.fail(f"{program} is missing: apt-get install pebble certbot", pytrace=False)
        self.home.mkdir()
        self.port, self._management, self._dns, self._control = free_ports(4)
        authority = Authority(self.home)
        own = store(authority.issue(("localhost",), dt.datetime.now(dt.UTC), 90), self.home / "own")
        self.ca = self.home / "ca.pem"
        config = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self._management}",
            "certificate": str(own / "fullchain.pem"),
            "privateKey": str(own / "privkey.pem"),
            "httpPort": self.challenge_port,
            "tlsPort": 1,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
        (self.home / "pebble.json").write_bytes(msgspec.json.encode({"pebble": config}))

    @property
    def directory(self) -> str:
        return f"https://localhost:{self.port}/dir"

    @contextmanager
    def running(self) -> Iterator["Pebble"]:
        dns = ["pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]
        dns += ["-dns01", f"127.0.0.1:{self._dns}", "-management", f"127.0.0.1:{self._control}"]
        dns += ["-http01", "", "-https01", "", "-tlsalpn01", ""]
        server = ["pebble", "-config", str(self.home / "pebble.json")]
        server += ["-dnsserver", f"127.0.0.1:{self._dns}", "-strict"]
        environment = os.environ | self.faults
        with (self.home / "log").open("w") as log:
            running = [
                subprocess.Popen(one, stdout=log, stderr=log, env=environment)
                for one in (dns, server)
            ]
        try:
            deadline = time.monotonic() + 15
            while not (listens(self.port) and listens(self._control)):
                if time.monotonic() > deadline:
                    pytest.fail((self.home / "log").read_text(), pytrace=False)
                time.sleep(0.05)
            yield self
        finally:
            for one in running:
                one.terminate()
            for one in running:
                one.wait(10)

    def certbot(self, webroot: Path, *names: str) -> tuple[str, ...]:
        """The command that makes certbot obtain one, whatever it has."""
        own = self.home / "certbot"
        return (
            "env", f"REQUESTS_CA_BUNDLE={self.ca}",
            "certbot", "certonly", "--non-interactive", "--quiet", "--agree-tos",
            "--register-unsafely-without-email", "--server", self.directory,
            "--webroot", "--webroot-path", str(webroot),
            "--config-dir", str(own), "--work-dir", str(own / "work"),
            "--logs-dir", str(own / "log"),
            "--cert-name", "aistack", "--force-renewal", "--renew-with-new-domains",
            *(f"--domain={name}" for name in names),
        )  # fmt: skip

    @property
    def lineage(self) -> Path:
        """Where certbot leaves the certificate."""
        return self.home / "certbot" / "live" / "aistack"
