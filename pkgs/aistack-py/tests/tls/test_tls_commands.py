"""The commands, as a shell, a timer and certbot call them."""

import json
from collections.abc import Callable
from datetime import timedelta

import anyio
import msgspec
import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families
from webserver import DOMAIN, NOW, Nginx, issue, store

from aistack.cli.main import main
from aistack.jobs.ledger import Ledger
from aistack.jobs.metrics import JobMetrics
from aistack.settings.schema import Postgres as PostgresSettings
from aistack.stores.postgres import Postgres

Command = Callable[..., Result]


def toml(section: dict[str, object]) -> str:
    """Strings, numbers and lists: their JSON is TOML, too."""
    lines = (f"{key} = {json.dumps(value)}" for key, value in section.items() if value is not None)
    return "\n".join(lines)


@pytest.fixture
def aistack(nginx: Nginx, dsn: str) -> Command:
    def run(*words: str, dsn: str = dsn, **changes: object) -> Result:
        tls = msgspec.to_builtins(nginx.settings(**changes))
        config = nginx.home / "config.toml"
        database = toml({"dsn": dsn, "timeout_s": 0.5})
        config.write_text(f"[tls]\n{toml(tls)}\n[postgres]\n{database}\n")
        return CliRunner().invoke(main, ["--config", str(config), "tls", *words])

    return run


def test_self_signed_from_nothing_to_a_renewal(nginx: Nginx, aistack: Command, dsn: str) -> None:
    nothing = aistack("status")
    assert (nothing.exit_code, "there is no certificate yet" in nothing.stdout) == (2, True)
    dry = aistack("deploy", "--dry-run")
    assert (dry.exit_code, dry.stderr) == (0, "would renew: there is none\n")
    assert not (nginx.folder / "live").exists()
    assert aistack("deploy").stderr == "deployed: there is none\n"
    with nginx.running():
        well = aistack("status", "--json")
        told = json.loads(well.stdout)
        assert (well.exit_code, told["state"]) == (0, "ok"), well.stdout
        assert {v["check"] for v in told["certificate"]["verdicts"]} == {
            "chain", "key", "names", "time", "staging", "served",
        }  # fmt: skip
        assert aistack("renew").stderr == "unchanged\n"
        address = f"{DOMAIN}@127.0.0.1:{nginx.https}"
        strange = aistack("check", address)
        assert (strange.exit_code, "self-signed" in strange.stdout) == (2, True), strange.stdout
        assert aistack("check", address, "--ca", str(nginx.folder / "ca.pem")).exit_code == 0
        other = aistack(
            "check", address.replace(DOMAIN, "x.test"), "--ca", f"{nginx.folder}/ca.pem"
        )
        assert (other.exit_code, "is not of x.test" in other.stdout) == (2, True)

        asked = aistack("renew", "--json", names=(DOMAIN, "b.test"))
        assert json.loads(asked.stdout) == {
            "outcome": "deployed", "reason": "names: is not of b.test",
        }  # fmt: skip
        assert "renewed from" in aistack("status").stdout
    assert aistack("check", address).exit_code == 2

    ledger = Ledger(Postgres(PostgresSettings(dsn=dsn)))
    runs = [(run.job, run.state) for run in anyio.run(ledger.runs)]
    assert runs == [("tls_renew", "ok"), ("tls_renew", "ok"), ("tls_deploy", "ok")]


def test_failures_are_counted_and_successes_survive(
    nginx: Nginx, aistack: Command, dsn: str
) -> None:
    # "acme": NixOS's client renews, or does not.
    late = store(
        issue(begin=NOW - timedelta(days=80), end=NOW + timedelta(days=10)), nginx.home / "s"
    )
    source: dict[str, object] = {
        "provider": "acme",
        "certificate_file": str(late / "fullchain.pem"),
        "key_file": str(late / "privkey.pem"),
    }
    failed = aistack("renew", **source)
    assert (failed.exit_code, "acme-order-renew" in failed.stderr) == (1, True), failed.stderr
    assert (nginx.folder / "live").exists(), "it is deployed all the same"
    store(issue(), late)
    assert aistack("renew", **source).stderr == "deployed\n"

    async def metrics() -> str:
        postgres = Postgres(PostgresSettings(dsn=dsn))
        await postgres.open()
        try:
            return (await JobMetrics(Ledger(postgres)).render()).decode()
        finally:
            await postgres.close()

    text = anyio.run(metrics)
    found = {s.name: s.value for f in text_string_to_metric_families(text) for s in f.samples}
    assert found["aistack_tls_renewal_failures_total"] == 1
    assert found["aistack_tls_renewal_last_success_timestamp"] >= NOW.timestamp()


def test_nothing_by_a_provider_is_complained_about(nginx: Nginx, aistack: Command) -> None:
    nowhere = str(nginx.home / "nowhere")
    done = aistack("renew", provider="acme", certificate_file=nowhere, key_file=nowhere)
    assert (done.exit_code, "there is no certificate to deploy" in done.stderr) == (1, True)
    assert (nginx.folder / "live").exists(), "nginx starts all the same"


def test_a_ca_is_asked_whether_it_wants_one_renewed_early(
    nginx: Nginx, aistack: Command, caplog: pytest.LogCaptureFixture
) -> None:
    lineage = store(issue(), nginx.home / "lineage")
    source: dict[str, object] = {
        "provider": "certbot",
        "certificate_file": str(lineage / "fullchain.pem"),
        "key_file": str(lineage / "privkey.pem"),
        "obtain_command": ("false",),
    }
    earlier = store(issue(), nginx.home / "earlier")
    ask = ("sh", "-c", f"cp {earlier}/* {lineage}/")
    assert aistack("renew", **source).stderr == "deployed\n"
    assert aistack("renew", **source, ask_command=ask).stderr == "deployed\n"
    assert aistack("renew", **source, ask_command=("false",)).stderr == "unchanged\n"
    assert "none is due, but asking" in caplog.text
    due = aistack("renew", **source, ask_command=ask, names=("other.test",))
    assert (due.exit_code, "false failed" in due.stderr) == (75, True), (
        "one that is due is obtained"
    )


def test_without_the_database_it_renews_all_the_same(
    nginx: Nginx, aistack: Command, caplog: pytest.LogCaptureFixture
) -> None:
    assert aistack("renew", dsn="host=/nonexistent dbname=x").exit_code == 0
    assert "this run is not recorded" in caplog.text
    assert (nginx.folder / "live" / "fullchain.pem").exists()


def test_deploy_as_a_hook_of_certbot(nginx: Nginx, aistack: Command) -> None:
    aistack("deploy")
    lineage = store(issue(), nginx.home / "lineage")
    with nginx.running():
        dry = aistack("deploy", "--from", str(lineage), "--dry-run")
        assert dry.stderr == "would deploy\n"
        assert aistack("deploy", "--from", str(lineage)).stderr == "deployed\n"
        assert aistack("deploy", "--from", str(lineage)).stderr == "unchanged\n"
        store(issue("other.test"), lineage)
        for words in (("--dry-run",), ()):
            bad = aistack("deploy", "--from", str(lineage), *words)
            assert (bad.exit_code, "names: is not of kb.test" in bad.stderr) == (2, True)
        (lineage / "privkey.pem").unlink()
        gone = aistack("deploy", "--from", str(lineage))
        assert (gone.exit_code, "privkey.pem: No such file" in gone.stderr) == (75, True)
        aistack("renew")  # the provider is selfSigned
        assert "aistack on" in aistack("status").stdout


def test_a_supplied_one_that_cannot_be_used_leaves_nginx_with_one(
    nginx: Nginx, aistack: Command
) -> None:
    files = store(issue("other.test"), nginx.home / "files")
    source = {"provider": "files", "certificate_file": str(files / "fullchain.pem"),
              "key_file": str(files / "privkey.pem")}  # fmt: skip
    bad = aistack("deploy", **source)
    assert (bad.exit_code, "is not of kb.test" in bad.stderr) == (2, True)
    with nginx.running():
        assert "aistack on" in aistack("status", **source).stdout


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"names": ()}, "tls.names is empty"),
        ({"provider": "certbot"}, "tls.certificate_file"),
        ({"certificate_file": "/x"}, "set both or none"),
        ({"provider": "caddy"}, "tls.provider"),
        ({"renew_at": 1.0}, "tls.renew_at"),
    ],
)
def test_settings_that_cannot_work(aistack: Command, changes: dict[str, object], says: str) -> None:
    done = aistack("renew", **changes)
    assert (done.exit_code, says in done.stderr) == (4, True), done.stderr
