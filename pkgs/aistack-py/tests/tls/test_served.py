"""Certificates by the part of their lifetime, and what a service's probe tells of a served one."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry
from webserver import DOMAIN, NOW, Nginx, issue

from aistack.health.certificate import judge
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
