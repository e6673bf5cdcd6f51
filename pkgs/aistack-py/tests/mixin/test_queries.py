"""Queries of the dashboards: they parse, and ask for metrics that there are."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from mixin.foreign import FOREIGN, OF_ALERTS, OF_EVERY_TARGET
from mixin.promql_names import selectors, strangers
from mixin.promtool import promtool

from aistack.cli.main import main
from aistack.mixin.dashboards import DASHBOARDS
from aistack.mixin.dashboards.exceptions import WITHOUT_DATA
from aistack.mixin.dashboards.frame import ANNOTATIONS
from aistack.mixin.dashboards.queries import Asked, filled, queries
from aistack.monitoring.contract import SERIES

OURS = ["aistack-aidb", "aistack-coordinator"]
JOBS = [*OURS, *FOREIGN]
PAIRS = {")": "(", "]": "[", "}": "{"}


def prometheus() -> list[str]:
    """Every query, those of annotations too."""
    asked = [one.expr for one in queries() if one.kind == "prometheus"]
    return asked + [filled(DASHBOARDS[0], one.query.expr) for one in ANNOTATIONS]


def loki() -> list[Asked]:
    return [one for one in queries() if one.kind == "loki"]


def test_every_query_parses(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": expr} for number, expr in enumerate(prometheus())
    ]
    # JSON is YAML, too.
    text = json.dumps({"groups": [{"name": "queries", "rules": rules}]})
    (tmp_path / "rules.yaml").write_text(text)
    assert f"{len(rules)} rules found" in promtool("check", "rules", tmp_path / "rules.yaml")


@pytest.mark.parametrize("expr", sorted(set(prometheus())))
def test_every_metric_exists(expr: str) -> None:
    assert not strangers(expr)
    found = selectors(expr)
    assert found or "vector" in expr
    for one in found:
        assert one.metric in OF_ALERTS or exists(one.metric, one.jobs(JOBS)), one


def exists(metric: str, jobs: list[str]) -> bool:
    """Whether any of the jobs has it; without a job it would ask other people's hosts, too."""
    if metric in OF_EVERY_TARGET:
        return bool(jobs)
    return any(metric in (SERIES if job in OURS else FOREIGN[job]) for job in jobs)


@pytest.mark.parametrize(
    ("expr", "wrong"),
    [
        ("sum(rate(aidb_requests_total[5m]))", {"aidb_requests_total"}),
        ("pg_up", {"pg_up"}),
        ('min by (job) (up{job="x"}) or on () vector(0)', set()),
    ],
)
def test_a_metric_without_a_selector_is_seen(expr: str, wrong: set[str]) -> None:
    assert strangers(expr) == wrong


def test_every_job_has_a_panel() -> None:
    seen = {
        job for expr in prometheus() for one in selectors(expr) for job in one.jobs(JOBS)
        if one.metric not in OF_EVERY_TARGET
    }  # fmt: skip
    assert seen == set(JOBS)


@pytest.mark.parametrize("asked", loki(), ids=lambda one: f"{one.dashboard} {one.panel}")
def test_queries_of_loki_are_balanced(asked: Asked) -> None:
    open_: list[str] = []
    quote = ""
    for letter in asked.expr:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in '"`':
            quote = letter
        elif letter in PAIRS.values():
            open_.append(letter)
        elif letter in PAIRS:
            assert open_.pop() == PAIRS[letter]
    assert not quote
    assert not open_


@pytest.mark.parametrize("asked", loki(), ids=lambda one: f"{one.dashboard} {one.panel}")
def test_queries_of_loki_select_something(asked: Asked) -> None:
    """Loki refuses a selector whose matchers all fit the empty text."""
    labels = asked.expr.partition("{")[2].partition("}")[0]
    assert "unit=~" in labels
    assert 'unit=~".*"' not in labels


def test_all_variables_are_filled() -> None:
    assert not [one for one in queries() if "$" in one.expr]


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(KeyError, match="instnace"):
        filled(DASHBOARDS[1], 'up{instance=~"$instnace"}')


def test_the_command_lists_them() -> None:
    done = CliRunner().invoke(main, ["mixin", "queries", "--json"])
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert [set(one) for one in found] == [
        {"dashboard", "panel", "kind", "expr", "without_data"}
    ] * len(found)
    excused = {(one["dashboard"], one["panel"]) for one in found if one["without_data"]}
    assert excused == set(WITHOUT_DATA)
    assert len(CliRunner().invoke(main, ["mixin", "queries"]).stdout.splitlines()) == len(found) + 1
