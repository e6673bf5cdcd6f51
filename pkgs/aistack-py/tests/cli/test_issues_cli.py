"""The issue tracker as a person, a timer or systemd calls it."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from test_cli import config

from aistack.cli.issues import list_issues
from aistack.cli.main import main
from aistack.issues.model import IssueDetail, IssueFilter
from aistack.issues.spool import Spool
from aistack.issues.store import Issues
from aistack.settings.schema import Settings

__all__ = ["config"]  # a fixture


@pytest.fixture
def spooling(config: Path, tmp_path: Path) -> Path:
    config.write_text(config.read_text() + f"[issues]\nspool = {json.dumps(str(tmp_path / 's'))}\n")
    run(config, "migrate")
    return config


def run(config: Path, *args: str, code: int = 0) -> str:
    """In this process: a start of Python for each would take most of the time."""
    done = CliRunner().invoke(main, ["--config", str(config), *args])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def record(config: Path, *args: str) -> int:
    return int(json.loads(run(config, "issues", "record", "--json", *args))["issue"])


def shown(config: Path, issue: int) -> dict[str, object]:
    found: dict[str, object] = json.loads(run(config, "issues", "show", str(issue), "--json"))
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("issues", "show", "9" * 30),
        ("issues", "list", "--generation", "9" * 12),
        ("issues", "resolve", "1", "-m", "x" * 2001),
        ("issues", "mute", "1", "--until", "9999-12-31T23:59:59-23:00"),
        ("issues", "import", "/nowhere/events.jsonl"),
        ("gc", "undo", "9" * 30),
        ("keys", "create", "ci", "--days", "9" * 10),
        ("keys", "rotate", "0123456789ab", "--overlap-hours", "1e300"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_no_database_or_calendar_has_is_wrong_usage(
    spooling: Path, words: tuple[str, ...]
) -> None:
    record(spooling, "no answer")
    assert "Traceback" not in run(spooling, *words, code=2)


def test_from_recording_to_a_regression(spooling: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("line 1\npassword=abcdef12\n")
    first = record(
        spooling, "no answer from 10.0.0.1", "--component", "aidb", "--severity", "high",
        "--context", "try=1", "--tag", "net", "--stack", str(log), "--request-id", "r1",
    )  # fmt: skip
    assert record(spooling, "no answer from 10.0.0.2", "--component", "aidb") == first
    detail = shown(spooling, first)
    assert detail["issue"]["count"] == 2  # type: ignore[index]
    told = run(spooling, "issues", "show", str(first))
    assert "try: 1" in told
    assert "password=[redacted]" in told
    run(spooling, "issues", "resolve", str(first), "-m", "cable", "--in-generation", "1")
    assert "no answer" not in run(spooling, "issues", "list")
    record(spooling, "no answer from 10.0.0.3", "--component", "aidb", "--tag", "net")
    assert "open (came back)" in run(
        spooling, "issues", "list", "--regressed", "--severity", "high"
    )
    rows = list(csv.DictReader(io.StringIO(run(spooling, "issues", "list", "--csv"))))
    assert [(r["id"], r["count"], r["tags"]) for r in rows] == [(str(first), "3", "net")]


def listed(config: Path, *args: str) -> list[int]:
    found = json.loads(run(config, "issues", "list", "--json", *args))
    return [one["id"] for one in found["issues"]]


def test_every_filter_is_an_option() -> None:
    options = {option.name for option in list_issues.params}
    assert options - {"csv_", "json_"} == set(IssueFilter.__struct_fields__)


def test_work_on_an_issue(spooling: Path) -> None:
    one, other = record(spooling, "one"), record(spooling, "other")
    run(spooling, "issues", "assign", str(one), "ann")
    run(spooling, "issues", "link", str(one), "https://git.test/7", "--pin")
    run(spooling, "issues", "link", str(other), "--duplicate-of", str(one))
    detail = shown(spooling, one)
    assert detail["links"] == ["https://git.test/7"]
    assert shown(spooling, other)["issue"]["duplicate_of"] == one  # type: ignore[index]
    run(spooling, "issues", "mute", str(one), "--until", "2h")
    assert listed(spooling) == []
    assert listed(spooling, "--muted-until", "3h") == [one]
    assert listed(spooling, "--duplicate-of", str(one)) == [other]
    run(spooling, "issues", "reopen", str(one), "--status", "investigating")
    assert listed(spooling, "--assignee", "ann", "--status", "investigating") == [one]
    assert "no issue 77" in run(spooling, "issues", "resolve", "77", code=5)


def test_events_wait_while_the_database_is_away(spooling: Path, settings: Settings) -> None:
    text = spooling.read_text()
    away = text.replace(json.dumps(settings.postgres.dsn), '"host=/none dbname=x"\ntimeout_s = 0.5')
    assert away != text
    spooling.write_text(away)
    command = [sys.executable, "-m", "aistack", "--config", str(spooling), "issues", "record", "x"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "waits in the spool" in done.stderr
    spooling.write_text(text)
    run(spooling, "issues", "drain")
    (found,) = json.loads(run(spooling, "issues", "list", "--json"))["issues"]
    assert found["count"] == 2


def test_another_process_may_store_it(spooling: Path, tmp_path: Path) -> None:
    with Spool(tmp_path / "s", 2**24).draining() as reader:
        assert reader is not None
        done = CliRunner().invoke(main, ["--config", str(spooling), "issues", "record", "x"])
    assert done.exit_code == 0
    assert "another process stores it now" in done.stderr


@pytest.mark.parametrize("since", ["999999d", "999999w"])
def test_a_span_beyond_the_calendar_is_an_error_of_use(spooling: Path, since: str) -> None:
    told = run(spooling, "issues", "list", "--since", since, code=2)
    assert "more than a calendar has" in told
    assert "more than a calendar has" in run(
        spooling, "issues", "mute", "1", "--until", "999999w", code=2
    )


def test_nobody_is_told_of_what_is_imported(
    spooling: Path, tmp_path: Path, settings: Settings
) -> None:
    spooling.write_text(spooling.read_text() + '[issues.notify]\nmail_to = "ops@example.org"\n')
    file = tmp_path / "events.jsonl"
    file.write_text('{"message": "of last year", "source": "command"}\n')
    run(spooling, "issues", "import", str(file))
    with psycopg.connect(settings.postgres.dsn) as conn:
        assert conn.execute("select count(*) from issue_notices").fetchone() == (0,)
        record(spooling, "of today")
        assert conn.execute("select count(*) from issue_notices").fetchone() == (1,)


def test_what_fails_beside_a_newer_database_waits_for_who_can_store_it(
    spooling: Path, settings: Settings
) -> None:
    """The migration that refuses to go back is a unit that fails, and is told of by older code."""
    with psycopg.connect(settings.postgres.dsn, autocommit=True) as conn:
        conn.execute(
            "insert into schema_history (number, name, checksum, oldest_code)"
            " values (999, '0999_contract.sql', '', 999)"
        )
        command = ["--config", str(spooling), "issues", "record", "the migration failed"]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0
        assert "waits in the spool" in done.stderr
        assert "of a newer aistack (0999_contract.sql)" in done.stderr
        conn.execute("delete from schema_history where number = 999")
    run(spooling, "issues", "drain")
    assert "the migration failed" in run(spooling, "issues", "list")


def test_what_is_exported_can_be_imported(spooling: Path, tmp_path: Path) -> None:
    for n in range(3):
        record(spooling, f"error {n}", "--component", "a")
    record(spooling, "another", "--kind", "ValueError")
    whole = [json.loads(line) for line in run(spooling, "issues", "export").splitlines()]
    assert {d["issue"]["title"]: d["issue"]["count"] for d in whole} == {
        "error 2": 3, "ValueError: another": 1,
    }  # fmt: skip
    file = tmp_path / "events.jsonl"
    file.write_text(run(spooling, "issues", "export", "--events") + "not JSON\n")
    assert "line 5 is skipped" in run(spooling, "issues", "import", str(file), code=3)
    (first, second) = json.loads(run(spooling, "issues", "list", "--json"))["issues"]
    assert sorted((first["count"], second["count"])) == [2, 6]


def test_an_issue_that_goes_meanwhile_ends_no_export(
    spooling: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(spooling, "an error", "--component", "a")
    gone = record(spooling, "another", "--kind", "ValueError")
    get = Issues.get

    async def evicting(self: Issues, number: int) -> IssueDetail:
        return await get(self, number if number != gone else 10**6)

    monkeypatch.setattr(Issues, "get", evicting)
    (line,) = run(spooling, "issues", "export").splitlines()
    assert json.loads(line)["issue"]["title"] == "an error"


def test_a_failed_unit_is_one_issue(
    spooling: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text("#!/bin/sh\necho Result=exit-code\necho NRestarts=3\n")
    (programs / "journalctl").write_text(
        "#!/bin/sh\ncase $* in *INVOCATION_ID=ab12*) echo 1767866400.5 x;; *) echo said: $*;; esac"
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    for name, value in {
        "SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "3",
        "INVOCATION_ID": "ab12",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"MONITOR_{name}", value)
    first = record(spooling, "--unit", "aistack-gc.service")
    assert record(spooling, "--unit", "aistack-gc.service") == first
    detail = shown(spooling, first)
    assert detail["issue"]["title"] == "aistack-gc.service failed: exit-code (exited 3)"  # type: ignore[index]
    newest = detail["occurrences"][0]  # type: ignore[index]
    assert "--unit=aistack-gc.service --since=@1767866400.5" in newest["stack"]
    assert newest["context"]["restarts"] == 3
    monkeypatch.setenv("MONITOR_EXIT_STATUS", "4")
    assert record(spooling, "--unit", "aistack-gc.service") != first
    run(spooling, "issues", "record", code=2)


def test_the_analysis_and_its_page(spooling: Path, tmp_path: Path, settings: Settings) -> None:
    issue = record(spooling, "<script>alert(1)</script> no space left on device")
    with psycopg.connect(settings.postgres.dsn) as conn:
        conn.execute("update issues set first_seen = now() - interval '3 days'")
        conn.execute(
            "insert into issue_rates select %s, extract(epoch from now())::bigint / 300 - n * 12, 1"
            " from generate_series(2, 60) n",
            (issue,),
        )
    found = json.loads(run(spooling, "issues", "analyze", "--window", "3d", "--json"))
    assert (found["events"], found["issues"]) == (60, 1)
    assert "most events" in run(spooling, "issues", "analyze")
    assert "df -h" in run(spooling, "issues", "suggest")
    run(spooling, "issues", "analyze", "--html", str(tmp_path / "r.html"))
    text = (tmp_path / "r.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert text.count("<svg") >= 2
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
