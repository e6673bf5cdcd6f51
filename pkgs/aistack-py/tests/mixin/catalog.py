"""What the rules, the alerts and their tests say, read from their files.

Run as a program it prints the page of the reference that is written from them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import aistack

MIXIN = Path(aistack.__file__).parent / "mixin"
TESTS = Path(__file__).parent / "alerts"
DOCS = Path(__file__).parents[4] / "docs"

_HEAD = """\
# Alerts

All alerts of `aistack mixin render`, by the file that they are in; each links to its runbook. *For*
is how long it must be so before anybody is told. How to silence and route them, and to add your
own, stands in [Alerts](../how-to/alerts.md). Written from the rules by
`python tests/mixin/catalog.py`.

`critical`: somebody should look now. `warning`: within the day. `info`: when there is time. `none`:
the dead man's switch.
"""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, and the file that it is in."""

    name: str
    source: str
    expr: str
    wait: str
    severity: str
    part: str
    notes: dict[str, str]

    @property
    def runbook(self) -> tuple[str, str]:
        """File below docs/runbooks, and anchor."""
        name, _, anchor = self.notes["runbook_url"].removeprefix("RUNBOOKS/").partition("#")
        return name, anchor


@dataclass(frozen=True, slots=True)
class Case:
    """One test of an alert: what fires or waits to, if anything, and of which metrics it knows."""

    alert: str
    title: str
    state: str
    firing: tuple[dict[str, str], ...]
    given: frozenset[str]


@cache
def alerts() -> tuple[Alert, ...]:
    return tuple(
        Alert(
            rule["alert"],
            path.stem,
            rule["expr"],
            str(rule.get("for", "")),
            rule["labels"].get("severity", ""),
            rule["labels"].get("part", ""),
            rule["annotations"],
        )
        for path, rule in _rules("alerts")
    )


@cache
def records() -> dict[str, str]:
    """Name of what is recorded to its expression."""
    return {rule["record"]: rule["expr"] for _, rule in _rules("rules")}


@cache
def cases() -> tuple[Case, ...]:
    return tuple(
        case
        for path in sorted(TESTS.glob("*.yaml"))
        for test in yaml.safe_load(path.read_text("utf-8"))["tests"]
        for case in _cases(test)
    )


_WORDS = frozenset(
    "and or unless by without on ignoring group_left group_right bool offset inf nan".split()
)
_NOT_METRICS = re.compile(
    r'"(?:\\.|[^"\\])*"'  # text
    r"|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)"
    r"|\[[^]]*\]|\boffset\s+\w+|\b[0-9][\w.]*"
)


def metrics(expr: str) -> set[str]:
    """The names of series that an expression reads."""
    bare = re.sub(r"\{[^}]*\}", "", _NOT_METRICS.sub("", re.sub(r'"[^"]*"', '""', expr)))
    found = re.findall(r"([A-Za-z_:][\w:]*)(?!\w|:|\s*\()", bare)
    return set(found) - _WORDS


def sources(expr: str) -> set[str]:
    """The names that are scraped, through what is recorded of them."""
    found: set[str] = set()
    for name in metrics(expr):
        found |= sources(records()[name]) if name in records() else {name}
    return found


def page() -> str:
    """The reference of alerts, in Markdown."""
    lines = [_HEAD]
    for source in dict.fromkeys(alert.source for alert in alerts()):
        lines.append(
            f"## {source}\n\n| Alert | Severity | For | Part | It says |\n|---|---|---|---|---|"
        )
        lines += [_row(alert) for alert in alerts() if alert.source == source]
        lines.append("")
    return "\n".join(lines)


def _row(alert: Alert) -> str:
    name, anchor = alert.runbook
    # A template is read as what it will be: $labels.instance as INSTANCE.
    part, says = (
        re.sub(
            r"\{\{.*?\$(?:labels\.)?(\w+).*?\}\}",
            lambda found: found[1].upper().replace("VALUE", "N"),
            text,
        )
        for text in (alert.part, alert.notes["summary"])
    )
    link = f"[`{alert.name}`](../runbooks/{name}#{anchor})"
    return f"| {link} | {alert.severity} | {alert.wait or '-'} | {part} | {says} |"


def _rules(kind: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((MIXIN / kind).glob("*.yaml")):
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            yield from ((path, rule) for rule in group["rules"])


def _cases(test: dict[str, Any]) -> Iterator[Case]:
    given = frozenset(one["series"].partition("{")[0] for one in test["input_series"])
    for query in test["promql_expr_test"]:
        about = re.fullmatch(r'ALERTS\{alertname="(\w+)",alertstate="(\w+)"\}', query["expr"])
        if about:
            firing = tuple(_labels(one["labels"]) for one in query["exp_samples"])
            yield Case(about[1], test["name"], about[2], firing, given)


def _labels(series: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', series))


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
