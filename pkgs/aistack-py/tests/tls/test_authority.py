"""The authority of a host's own: clients that trust it trust the host, and nothing else by it."""

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from webserver import DOMAIN, NOW, Nginx, issue

from aistack.errors import UnavailableError
from aistack.tls.authority import Authority
from aistack.tls.deploy import Deployer
from aistack.tls.folder import Folder
from aistack.tls.judge import Verdict, faults, judge
from aistack.tls.pair import Pair
from aistack.tls.report import of_server

pytestmark = pytest.mark.anyio
NAMES = (DOMAIN, "b.test")


async def trust(nginx: Nginx, pair: Pair, ca: Path, name: str) -> Verdict:
    folder = Folder(nginx.folder)
    with folder.lock():
        await Deployer(nginx.settings(names=(name,)), folder).deploy(pair, NOW)
    with nginx.running():
        report = await of_server(f"{name}@127.0.0.1:{nginx.https}", ca, NOW)
    return next(v for v in report.verdicts if v.check == "trust")


async def test_clients_trust_what_it_issued(nginx: Nginx) -> None:
    pair = Authority(nginx.folder).issue(NAMES, NOW, 90)
    assert faults(judge(pair, NAMES, NOW, staging=False)) == ""
    found = await trust(nginx, pair, nginx.folder / "ca.pem", DOMAIN)
    assert found.status == "pass", found
    assert "TLSv1.3" in found.told


async def test_and_not_what_somebody_else_did(nginx: Nginx) -> None:
    Authority(nginx.folder).issue(NAMES, NOW, 90)
    assert (await trust(nginx, issue(), nginx.folder / "ca.pem", DOMAIN)).status == "fail"


async def test_and_not_for_other_names(nginx: Nginx) -> None:
    """Whoever has its key cannot be somebody else."""
    authority = Authority(nginx.folder)
    ours = authority.issue(NAMES, NOW, 90)
    found = authority._read()
    assert found is not None
    forged = Authority(nginx.home / "forged")
    nginx.home.joinpath("forged").mkdir()
    forged._read = lambda: found  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aistack.tls.authority._good", lambda *_: True)
        pair = forged.issue(("bank.test",), NOW, 90)
    assert pair.chain[1:] == ours.chain[1:]
    verdict = await trust(nginx, pair, nginx.folder / "ca.pem", "bank.test")
    assert (verdict.status, "subtree" in verdict.told) == ("fail", True)


def test_it_stays_the_same_as_long_as_it_can(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first = authority.issue(NAMES, NOW, 90)
    later = authority.issue(NAMES[:1], NOW + timedelta(days=60), 90)
    assert later.chain[1:] == first.chain[1:]
    assert authority.issued(later, NAMES, NOW)
    assert not authority.issued(issue(), NAMES, NOW)
    assert authority.issue((*NAMES, "c.test"), NOW, 90).chain[1:] != first.chain[1:]


def test_nothing_outlives_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first = authority.issue(NAMES, NOW, 90)
    late = authority.issue(NAMES, NOW + timedelta(days=3200), 825)
    assert late.chain[1:] == first.chain[1:]
    assert late.leaf.not_valid_after_utc == first.chain[1].not_valid_after_utc
    assert not authority.issued(late, NAMES, NOW + timedelta(days=3400)), "a tenth is left"
    assert authority.issue(NAMES, NOW + timedelta(days=3400), 90).chain[1:] != first.chain[1:]


def test_its_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    Authority(tmp_path).issue(NAMES, NOW, 90)
    own = tmp_path / "authority"
    assert own.stat().st_mode & 0o777 == 0o700
    assert (own / "authority.pem").stat().st_mode & 0o777 == 0o600
    public = tmp_path / "ca.pem"
    assert public.stat().st_mode & 0o777 == 0o644
    assert "PRIVATE" not in public.read_text()
    assert ssl.create_default_context(cafile=public).cert_store_stats()["x509_ca"] == 1


def test_a_torn_file_makes_a_new_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first = authority.issue(NAMES, NOW, 90)
    own = tmp_path / "authority" / "authority.pem"
    own.write_text(own.read_text()[:200])
    assert not authority.issued(first, NAMES, NOW)
    assert authority.issue(NAMES, NOW, 90).chain[1:] != first.chain[1:]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "authority").write_text("")
    with pytest.raises(UnavailableError, match="authority"):
        Authority(tmp_path).issue(NAMES, NOW, 90)
