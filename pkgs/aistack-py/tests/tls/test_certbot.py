"""certbot and an ACME server with faults: the old certificate is served until a new one is good."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pebble import Pebble
from webserver import DOMAIN, Nginx

from aistack.errors import AistackError, ConflictError, InvalidError
from aistack.health.certificate import served
from aistack.settings.schema import Tls
from aistack.tls.keeper import Keeper, Result

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

NOSLEEP = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}


def four_years_on() -> datetime:
    """Pebble's certificates live five years: then one is due."""
    return datetime.now(UTC) + timedelta(days=365 * 4)


def settings(nginx: Nginx, pebble: Pebble, *names: str) -> Tls:
    return nginx.settings(
        provider="certbot",
        certificate_file=str(pebble.lineage / "fullchain.pem"),
        key_file=str(pebble.lineage / "privkey.pem"),
        obtain_command=pebble.certbot(nginx.home / "webroot", *(names or (DOMAIN,))),
    )


@pytest.fixture
async def placeholder(nginx: Nginx) -> AsyncIterator[Nginx]:
    """nginx as it starts on a new host: before certbot there is a certificate of its own."""
    keeper = Keeper(settings(nginx, Pebble(nginx.home / "none", nginx.http, {})))
    assert await keeper.deploy(None) == Result("deployed", "there is none yet")
    with nginx.running():
        yield nginx


async def issuer(nginx: Nginx) -> str:
    found = await served(f"{DOMAIN}@127.0.0.1:{nginx.https}")
    assert found is not None
    return found.issuer.rfc4514_string()


async def serial(nginx: Nginx) -> int:
    found = await served(f"{DOMAIN}@127.0.0.1:{nginx.https}")
    assert found is not None
    return found.serial_number


async def test_obtained_kept_and_renewed(placeholder: Nginx, tmp_path: Path) -> None:
    nginx = placeholder
    pebble = Pebble(tmp_path / "pebble", nginx.http, NOSLEEP)
    keeper = Keeper(settings(nginx, pebble))
    later = Keeper(settings(nginx, pebble), four_years_on)
    with pebble.running():
        assert await keeper.renew(dry_run=True) == Result("would renew", "there is none")
        assert not pebble.lineage.exists()
        assert await keeper.renew() == Result("deployed", "there is none")
        assert "Pebble" in await issuer(nginx)
        first = await serial(nginx)
        assert await keeper.renew() == Result("unchanged", None)
        assert await serial(nginx) == first

        plan = await later.renew(dry_run=True)
        assert (plan.outcome, str(plan.reason)[:9]) == ("would renew", "due since")
        # Pebble's clock is not ahead: by ours the new one is due at once.
        with pytest.raises(ConflictError, match="still its certificate is not good: due since"):
            await later.renew()
        second = await serial(nginx)
        assert second != first

    # The CA is down: nobody notices until one is due.
    assert await keeper.renew() == Result("unchanged", None)
    with pytest.raises(AistackError, match="failed with status 1"):
        await later.renew()
    assert await serial(nginx) == second


async def test_a_certificate_of_another_name_is_not_deployed(
    placeholder: Nginx, tmp_path: Path
) -> None:
    pebble = Pebble(tmp_path / "pebble", placeholder.http, NOSLEEP)
    with pebble.running(), pytest.raises(InvalidError, match=f"is not of {DOMAIN}"):
        await Keeper(settings(placeholder, pebble, "other.test")).renew()
    assert "aistack on" in await issuer(placeholder)


async def test_a_blocked_port_80(placeholder: Nginx, tmp_path: Path) -> None:
    pebble = Pebble(tmp_path / "pebble", 1, NOSLEEP)  # nobody listens on port 1
    with pebble.running(), pytest.raises(AistackError, match="failed with status 1"):
        await Keeper(settings(placeholder, pebble)).renew()
    assert "aistack on" in await issuer(placeholder)


async def test_a_server_that_is_slow_and_rejects_nonces(placeholder: Nginx, tmp_path: Path) -> None:
    """Some runs fail, the next ones get there; the timer comes twice a day."""
    faults = {"PEBBLE_VA_SLEEPTIME": "3", "PEBBLE_WFE_NONCEREJECT": "25"}
    pebble = Pebble(tmp_path / "pebble", placeholder.http, faults)
    keeper = Keeper(settings(placeholder, pebble))
    with pebble.running():
        for _ in range(20):
            try:
                result = await keeper.renew()
            except AistackError:
                assert "aistack on" in await issuer(placeholder)
            else:
                break
    assert result.outcome == "deployed"
    assert "Pebble" in await issuer(placeholder)
