"""Dashboards: Grafana can read them, Prometheus their queries, and every metric exists."""

import json
from itertools import combinations
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from mixin.grafana_schema import Dashboard, Grid, Row

from aistack.cli.main import main
from aistack.mixin.dashboards import DASHBOARDS, dashboards
from aistack.mixin.dashboards.exceptions import WITHOUT_DATA
from aistack.mixin.dashboards.reference import reference
from aistack.mixin.runbooks import Runbooks

DOCS = Path(__file__).parents[4] / "docs"
RUNBOOKS = Runbooks.at("https://books.example/runbooks")
FIRST_PAINT = 12
PANELS = 80

UIDS = [
    "aistack-overview",
    "aistack-aidb",
    "aistack-coordinator",
    "aistack-guards",
    "aistack-gc",
    "aistack-backups",
    "aistack-health",
    "aistack-issues",
    "aistack-host",
    "aistack-postgresql",
    "aistack-redis",
    "aistack-qdrant",
    "aistack-nginx",
    "aistack-monitoring",
    "aistack-logs",
]
"""They are in addresses that people keep: one that is changed here breaks those."""
OVERVIEW_ROWS = [
    "System overview",
    "Security",
    "Garbage collection",
    "Health",
    "Backups",
    "System performance",
    "Databases",
    "Issues",
    "Recent events",
]


@pytest.fixture(scope="module")
def models() -> dict[str, Dashboard]:
    """As Grafana reads them."""
    return {
        uid: msgspec.json.decode(json.dumps(model), type=Dashboard)
        for uid, model in dashboards(RUNBOOKS).items()
    }


def test_uids_stay(models: dict[str, Dashboard]) -> None:
    assert [one.uid for one in DASHBOARDS] == UIDS
    assert list(models) == UIDS


def test_an_unknown_key_would_be_seen() -> None:
    model = dashboards(RUNBOOKS)["aistack-gc"]
    model["panels"][1]["fieldConfig"]["defaults"]["untis"] = "s"
    with pytest.raises(msgspec.ValidationError, match="untis"):
        msgspec.json.decode(json.dumps(model), type=Dashboard)


def test_there_are_enough_panels(models: dict[str, Dashboard]) -> None:
    assert sum(len(one.all()) for one in models.values()) >= PANELS


def test_the_overview_has_its_nine_rows(models: dict[str, Dashboard]) -> None:
    assert [row.title for row in models["aistack-overview"].rows()] == OVERVIEW_ROWS


@pytest.mark.parametrize("uid", UIDS)
class TestEach:
    def test_titles_and_ids_are_told_apart(self, models: dict[str, Dashboard], uid: str) -> None:
        titles = [panel.title for panel in models[uid].all()]
        assert len(set(titles)) == len(titles)
        ids = [one.id for one in models[uid].all() + models[uid].rows()]
        assert len(set(ids)) == len(ids)

    def test_no_panel_covers_another(self, models: dict[str, Dashboard], uid: str) -> None:
        folded = [row for row in models[uid].rows() if row.collapsed]
        for together in ([one.grid_pos for one in models[uid].panels], *map(inside, folded)):
            assert all(one.x + one.w <= 24 for one in together)
            assert not [pair for pair in combinations(together, 2) if overlap(*pair)]

    def test_all_rows_but_the_first_are_folded(
        self, models: dict[str, Dashboard], uid: str
    ) -> None:
        first, *others = models[uid].rows()
        assert models[uid].panels[0] is first
        assert not first.collapsed
        assert not first.panels
        assert all(row.collapsed and row.panels for row in others)

    def test_the_first_paint_asks_little(self, models: dict[str, Dashboard], uid: str) -> None:
        asked = sum(len(panel.targets) for panel in models[uid].shown())
        asked += sum(one.enable for one in models[uid].annotations.list)
        assert asked <= FIRST_PAINT

    def test_variables_that_are_used_are_there(
        self, models: dict[str, Dashboard], uid: str
    ) -> None:
        names = {one.name for one in models[uid].templating.list}
        loki = any(t.datasource.uid == "${loki}" for p in models[uid].all() for t in p.targets)
        assert ("loki" in names) == loki
        text = json.dumps(dashboards(RUNBOOKS)[uid])
        assert all(f"${name}" in text or f"${{{name}}}" in text for name in names)

    def test_the_runbook_is_one_click_away(self, models: dict[str, Dashboard], uid: str) -> None:
        (dashboard,) = (one for one in DASHBOARDS if one.uid == uid)
        urls = [link.url for link in models[uid].links if link.type == "link"]
        assert urls == ([RUNBOOKS.page(dashboard.runbook)] if dashboard.runbook else [])
        assert dashboard.runbook or uid in {"aistack-overview", "aistack-logs"}

    def test_links_lead_to_dashboards(self, models: dict[str, Dashboard], uid: str) -> None:
        targets = {link.url for panel in models[uid].all() for link in panel.links}
        assert {url.removeprefix("/d/").partition("?")[0] for url in targets} <= set(UIDS)

    def test_thresholds_rise(self, models: dict[str, Dashboard], uid: str) -> None:
        for panel in models[uid].all():
            first, *others = (step.value for step in panel.field_config.defaults.thresholds.steps)
            assert first is None
            assert others == sorted({value for value in others if value is not None})


def inside(row: Row) -> list[Grid]:
    return [row.grid_pos, *(panel.grid_pos for panel in row.panels)]


def overlap(one: Grid, other: Grid) -> bool:
    return (
        one.x < other.x + other.w
        and other.x < one.x + one.w
        and one.y < other.y + other.h
        and other.y < one.y + one.h
    )


def test_exceptions_are_few_and_of_panels_that_exist() -> None:
    panels = {(one.uid, panel.title) for one in DASHBOARDS for panel in one.panels()}
    assert set(WITHOUT_DATA) <= panels
    assert len(WITHOUT_DATA) <= 5


def test_the_files_are_those_of_the_command(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        main, ["mixin", "render", str(tmp_path), "--runbooks-url", RUNBOOKS.url]
    )
    assert done.exit_code == 0
    written = {path.stem: json.loads(path.read_text()) for path in tmp_path.rglob("*.json")}
    assert written == dashboards(RUNBOOKS)


@pytest.mark.skipif(not DOCS.is_dir(), reason="the package's source has no docs")
def test_the_reference_is_that_of_the_code() -> None:
    page = (DOCS / "reference" / "dashboards.md").read_text("utf-8")
    assert page == reference(), "write it: aistack mixin reference dashboards"
