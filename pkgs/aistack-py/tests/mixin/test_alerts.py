"""Rules and alerts: each is tried, explained, and asks for nothing that nobody tells."""

import re
from pathlib import Path

import click
import pytest
from mixin.catalog import (
    DOCS,
    TESTS,
    Alert,
    Case,
    alerts,
    cases,
    metrics,
    page,
    records,
    sources,
)
from mixin.foreign import FOREIGN, OF_EVERY_TARGET
from mixin.promtool import promtool

from aistack.cli.main import main
from aistack.issues.alertmanager import Alert as Told, Alerts, events_of
from aistack.mixin.rules import rules
from aistack.mixin.runbooks import Runbooks
from aistack.monitoring.contract import SERIES

ALWAYS = "Watchdog"
"""It has no silent case: it fires whenever Prometheus works."""

LONG = {"backup-late", "slo"}

with_docs = pytest.mark.skipif(
    not DOCS.is_dir(), reason="the package's source has no docs; make check runs it with them"
)


@pytest.mark.parametrize(
    "path",
    [
        # Of days, in steps of minutes.
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in LONG else [])
        for path in sorted(TESTS.glob("*.yaml"))
    ],
)
def test_alerts_fire_and_are_silent_when_they_should(path: Path) -> None:
    promtool("test", "rules", path)


def test_what_is_rendered_is_valid(tmp_path: Path) -> None:
    for name, text in rules(Runbooks.at("https://kb.example.org/runbooks")).items():
        assert "RUNBOOKS" not in text
        (tmp_path / name).write_text(text, "utf-8")
    promtool("check", "rules", *sorted(tmp_path.iterdir()))


def of(alert: Alert) -> list[Case]:
    return [case for case in cases() if case.alert == alert.name]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
class TestEach:
    def test_is_tried_firing_and_silent(self, alert: Alert) -> None:
        found = of(alert)
        assert any(case.firing and case.state == "firing" for case in found)
        assert alert.name == ALWAYS or any(not case.firing for case in found)

    def test_waits_first_if_it_says_so(self, alert: Alert) -> None:
        waits = any(case.firing and case.state == "pending" for case in of(alert))
        assert waits == bool(alert.wait)

    def test_is_not_silent_for_want_of_data(self, alert: Alert) -> None:
        read = sources(alert.expr) | metrics(alert.expr)
        assert not [case.title for case in of(alert) if not case.firing and not case.given & read]

    def test_is_named_in_its_tests(self, alert: Alert) -> None:
        verb = {True: "fires", False: "is silent"}
        for case in of(alert):
            assert case.title.startswith(f"{alert.name} {verb[bool(case.firing)]}"), case.title

    def test_says_nothing_that_it_does_not_know(self, alert: Alert) -> None:
        """A label that is not there would be told as nothing."""
        named = set(re.findall(r"\$labels\.(\w+)", " ".join([alert.part, *alert.notes.values()])))
        firing = [labels for case in of(alert) for labels in case.firing]
        assert any(named <= labels.keys() for labels in firing), (named, firing)
        assert all(labels["part"] for labels in firing)

    def test_asks_for_what_somebody_tells(self, alert: Alert) -> None:
        foreign = OF_EVERY_TARGET.union(*FOREIGN.values())
        assert not sources(alert.expr) - SERIES.keys() - foreign

    def test_is_explained(self, alert: Alert) -> None:
        assert alert.severity in ("critical", "warning", "info") or alert.name == ALWAYS
        assert set(alert.notes) == {"summary", "description", "runbook_url"}
        assert alert.notes["runbook_url"].startswith("RUNBOOKS/")

    @with_docs
    def test_has_a_runbook(self, alert: Alert) -> None:
        name, anchor = alert.runbook
        assert anchor in anchors_of(DOCS / "runbooks" / name)


def anchors_of(path: Path) -> set[str]:
    """Of headings, as GitHub makes them."""
    return {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).strip().lower().replace(" ", "-")
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("#")
    }


def runbook_urls(runbooks: Runbooks) -> set[str]:
    return {
        url for text in rules(runbooks).values() for url in re.findall(r"runbook_url: (.*)", text)
    }


@pytest.mark.parametrize(
    ("runbooks", "page"),
    [
        # The site has a page for each file of Markdown; a folder of the host has the files.
        (Runbooks.at("https://kb.example.org/docs/runbooks/"), "https://kb.example.org/docs/runbooks/gc.html"),
        (Runbooks.at("file:///run/doc/runbooks"), "file:///run/doc/runbooks/gc.md"),
        (Runbooks.at("https://git.example.org/docs/runbooks", ".md"), "https://git.example.org/docs/runbooks/gc.md"),
    ],
)  # fmt: skip
def test_a_runbook_is_named_as_it_is_published(runbooks: Runbooks, page: str) -> None:
    told = runbook_urls(runbooks)
    assert f"{page}#gclate" in told
    assert {url.partition("#")[0] for url in told} == {
        runbooks.page(alert.runbook[0]) for alert in alerts()
    }


def test_names_are_used_once() -> None:
    names = [alert.name for alert in alerts()]
    assert len(names) == len(set(names)) > 100
    assert {case.alert for case in cases()} == set(names)


def test_what_is_recorded_asks_for_what_somebody_tells() -> None:
    foreign = OF_EVERY_TARGET.union(*FOREIGN.values())
    for name, expr in records().items():
        assert not sources(expr) - SERIES.keys() - foreign, name


def test_the_names_of_series_are_found() -> None:
    expr = """sum without (instance) (rate(a_total{job=~"x{2}|y"}[5m])) / on (job) b:c > 1e9
    and d offset 1d == 0 or label_replace(e unless on (i) f, "metric", "g", "", "")"""
    assert metrics(expr) == {"a_total", "b:c", "d", "e", "f"}


@with_docs
def test_every_heading_of_a_runbook_is_of_an_alert() -> None:
    linked = {alert.runbook for alert in alerts()}
    found = {
        (path.name, line.removeprefix("## ").lower())
        for path in (DOCS / "runbooks").glob("*.md")
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("## ")
    }
    assert found == linked


@with_docs
def test_runbooks_name_commands_that_are_there() -> None:
    texts = "\n".join(path.read_text("utf-8") for path in (DOCS / "runbooks").glob("*.md"))
    said = re.findall(r"(?:^|`)aistack ([a-z][^`#\n|]*)", texts, re.MULTILINE)
    assert len(said) > 50
    wrong = [words for words in said if not is_command(words.split())]
    assert not wrong


def is_command(words: list[str]) -> bool:
    """Whether the program has this command, with these options."""
    command: click.Command = main
    while isinstance(command, click.Group) and words:
        found = command.commands.get(words[0]) or command.get_command(
            click.Context(command), words[0]
        )
        if found is None:
            return False
        command, words = found, words[1:]
    known = {name for param in command.params for name in param.opts}
    return {word for word in words if word.startswith("-")} <= known


@with_docs
def test_links_of_runbooks_lead_somewhere() -> None:
    for path in (DOCS / "runbooks").glob("*.md"):
        for name, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", path.read_text("utf-8")):
            target = path if not name else path.parent / name
            assert target.is_file(), (path.name, name)
            assert not anchor or anchor in anchors_of(target), (path.name, name, anchor)


@with_docs
def test_the_reference_is_written_from_the_rules() -> None:
    assert (DOCS / "reference" / "alerts.md").read_text("utf-8") == page(), (
        "python tests/mixin/catalog.py > ../../docs/reference/alerts.md"
    )


def test_the_tracker_makes_issues_of_them() -> None:
    told = [
        Told(labels={"alertname": a.name, "severity": a.severity, "part": a.part, "job": "j"})
        for a in alerts()
    ]
    events = events_of(Alerts(told))
    made = {event.message.split(":")[0]: event for event in events}
    assert made["BackupLate"].severity == "critical"
    assert made["BackupLate"].component == "backup"
    assert made["HostDiskLow"].severity == "medium"
    assert ALWAYS not in made, "it fires always, and nothing is wrong"
    assert "IssueCritical" not in made, "an alert about an issue is no further issue"
