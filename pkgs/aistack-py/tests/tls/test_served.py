"""Certificates by the part of their lifetime, and what a service's probe tells of a served one."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from prometheus_client import CollectorRegistry
from webserver import DOMAIN, NOW, Nginx, issue

from aistack.errors import UnavailableError
from aistack.health.certificate import judge, served
from aistack.health.model import Reading, Status
from aistack.health.probes import certificates
from aistack.monitoring.health import HealthMetrics
from aistack.settings.schema import Health
from aistack.tls.deploy import Deployer
from aistack.tls.folder import Folder

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("days", [6, 45, 90, 3650])
def test_certificates_are_judged_by_their_own_lifetime(days: int) -> None:
    span = timedelta(days=days)
    leaf = issue(begin=NOW, end=NOW + span).leaf
    table: list[tuple[float, Status]] = [
        (0.0, "pass"), (0.7, "pass"), (0.8, "warn"), (0.95, "fail"), (1.01, "fail"), (-0.1, "fail"),
    ]  # fmt: skip
    for part, status in table:
        assert judge(leaf, NOW + part * span).status == status, part


@pytest.mark.parametrize("address", ["kb..example.test", f"{'a' * 70}.example.test", "kb.test:²"])
async def test_a_name_that_can_be_none_has_no_tls(address: str) -> None:
    with pytest.raises(UnavailableError, match="no TLS at"):
        await served(address)


async def test_a_certificate_that_cannot_be_read_is_told(
    nginx: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(raw: bytes) -> x509.Certificate:
        raise ValueError(f"{len(raw)} bytes that are none")

    folder = Folder(nginx.folder)
    with folder.lock():
        today = datetime.now(UTC)
        pair = issue(begin=today - timedelta(days=1), end=today + timedelta(days=10))
        await Deployer(nginx.settings(), folder).deploy(pair, today)
    with nginx.running():
        monkeypatch.setattr(x509, "load_der_x509_certificate", load)
        with pytest.raises(UnavailableError, match="no certificate that can be read"):
            await served(f"{DOMAIN}@127.0.0.1:{nginx.https}")


async def test_the_probe_looks_at_what_is_served(nginx: Nginx) -> None:
    registry = CollectorRegistry()
    metrics = HealthMetrics(registry)
    where = f"127.0.0.1:{nginx.https}"
    folder = Folder(nginx.folder)

    async def probe(*names: str) -> Reading:
        rules = Health(certificates=tuple(f"{name}@{where}" for name in names))
        return await certificates(rules, metrics)

    def metric(name: str) -> float:
        return registry.get_sample_value(name, {"name": DOMAIN}) or 0.0

    with folder.lock():
        # Not NOW: that is when the tests were collected, and the probe's clock is the real one.
        today = datetime.now(UTC)
        pair = issue(begin=today - timedelta(days=80), end=today + timedelta(days=10))
        await Deployer(nginx.settings(), folder).deploy(pair, today)
    assert (await probe(DOMAIN)).output == f"nobody listens at {DOMAIN}@{where}"
    with nginx.running():
        found = await probe(DOMAIN)
        assert (found.status, found.unit) == ("warn", "%")
        assert found.observed == pytest.approx(100 / 9, abs=0.1)
        other = await probe(DOMAIN, "other.test")
        assert (other.status, "is not of other.test" in str(other.output)) == ("fail", True)
    assert metric("tls_certificate_lifetime_seconds") == 90 * 86400
    assert metric("tls_certificate_expiry_seconds") == pytest.approx(10 * 86400, abs=300)
