"""What the counts say: spikes, trends, components that fail together, generations."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from makings import NOW, event

from aistack.issues.analysis import analyze, spiking, tail
from aistack.issues.model import Event, IssueChange, IssueFilter
from aistack.issues.plots import plots
from aistack.issues.report import page
from aistack.issues.store import Issues
from aistack.issues.suggest import _RULES, suggestions
from aistack.settings import schema
from aistack.stores.postgres import Postgres

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[4]
WEEK = timedelta(days=7)
SETTINGS = schema.Issues(quiet_days=14)


def every(hours: float, message: str, *, start: float = 24 * 10, end: float = 1.5, **more: Any
          ) -> list[Event]:  # fmt: skip
    """Events from so many hours ago to so many, at even distances."""
    number = int((start - end) / hours)
    return [event(message, at=ago(start - n * hours), **more) for n in range(number + 1)]


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


async def look(postgres: Postgres, window: timedelta = WEEK) -> Any:
    return await analyze(postgres, SETTINGS, window, NOW)


@pytest.mark.parametrize(
    ("count", "expected", "wanted"),
    [  # by decimal arithmetic of 60 digits
        (0, 3.0, 1.0),
        (1, 0.5, 0.3934693402873666),
        (3, 1.0, 0.08030139707139419),
        (10, 2.0, 4.6498075017263805e-05),
        (5, 5.0, 0.5595067149347875),
        (2, 5.0, 0.9595723180054871),
        (60, 20.0, 4.233284694712903e-13),
        (1000, 700.0, 1.0158583345333217e-26),
    ],
)
async def test_the_tail_of_poissons_distribution(
    count: int, expected: float, wanted: float
) -> None:
    assert tail(count, expected) == pytest.approx(wanted, rel=1e-9, abs=0)


async def test_a_spike_is_more_than_the_past_explains(issues: Issues, postgres: Postgres) -> None:
    burst = [ago(0.2)] * 30
    await issues.ingest(every(6, "rare") + [event("rare", at=at) for at in burst])
    # As many, but so it always was.
    await issues.ingest(every(1 / 30, "common", start=30, end=0.05))
    # Once a week it has been as bad: no news.
    await issues.ingest([event("bursty", at=at) for at in burst + [ago(50)] * 40 + [ago(200)]])
    # New ones were told as new.
    await issues.ingest([event("fresh", at=at) for at in burst])
    found = await look(postgres)
    (spike,) = found.spiking
    assert (spike.issue.title, spike.issue.latest) == ("rare", 30)
    assert spike.expected < 1
    assert spike.chance < 1e-20
    numbers = {i.title: i.id for i in (await issues.list(IssueFilter())).issues}
    assert await spiking(postgres, NOW) == [numbers["rare"]]
    await issues.change(numbers["rare"], IssueChange(status="muted"), "t")
    assert await spiking(postgres, NOW) == []


async def test_what_keeps_its_rate_does_not_spike(issues: Issues, postgres: Postgres) -> None:
    # The 40 issues differ in their rate alone; none changes it.
    for n in range(40):
        await issues.ingest(every(0.1 + n / 10, f"steady {chr(97 + n % 26)}{'x' * (n // 26)}",
                                  end=0.02))  # fmt: skip
    assert (await look(postgres)).spiking == []


async def test_trends(issues: Issues, postgres: Postgres) -> None:
    await issues.ingest(every(24, "rises", start=160, end=84) + every(1, "rises", start=80))
    await issues.ingest(every(1, "falls", start=160, end=84) + every(24, "falls", start=80))
    await issues.ingest(every(2, "steady", start=160))
    await issues.ingest(every(0.5, "new", start=20))
    found = await look(postgres)
    assert {one.title: one.trend for one in found.top} == {
        "rises": "rising", "falls": "falling", "steady": "steady", "new": "steady",
    }  # fmt: skip
    assert [one.title for one in found.rising] == ["rises"]
    assert {one.title for one in found.new} == {"rises", "falls", "steady", "new"}
    assert found.events == sum(one.events for one in found.top)
    assert found.issues == 4


async def test_new_regressed_and_quiet(issues: Issues, postgres: Postgres) -> None:
    await issues.ingest([event("quiet one", at=ago(24 * 30)), event("old", at=ago(24 * 10))])
    await issues.ingest([event("old", at=ago(2)), event("new", at=ago(3)), event("back")])
    numbers = {i.title: i.id for i in (await issues.list(IssueFilter())).issues}
    found = await look(postgres)
    assert [one.title for one in found.new] == ["new"]
    assert [(one.id, one.title) for one in found.quiet] == [(numbers["quiet one"], "quiet one")]
    await issues.change(numbers["back"], IssueChange(status="resolved"), "t")
    later = datetime.now(NOW.tzinfo) + timedelta(seconds=1)
    await issues.ingest([event("back", at=later)])
    now = later + timedelta(seconds=1)
    found = await analyze(postgres, SETTINGS, WEEK, now)
    assert [one.title for one in found.regressed] == ["back"]
    told = suggestions(found)
    assert told[0].what == f"Issue {numbers['back']} came back: back"
    assert "1 regressions in all" in told[0].evidence


async def test_components_that_fail_together(issues: Issues, postgres: Postgres) -> None:
    for n in range(12):
        at = ago(5 + 12 * n)
        await issues.ingest([event("a", component="db", at=at), event("b", component="web", at=at)])
    await issues.ingest(every(1 / 12, "noise", component="cron", start=160))
    found = await look(postgres)
    assert [(pair.one, pair.other, pair.together) for pair in found.together] == [("db", "web", 12)]
    assert any("db and web fail together" in one.what for one in suggestions(found))


async def test_a_generation_that_brought_trouble(issues: Issues, postgres: Postgres) -> None:
    made = {"generation": 42, "generation_at": ago(10), "host": "kb"}
    before = {"generation": 41, "generation_at": ago(100), "host": "kb"}
    await issues.ingest([event("old", at=ago(20), **before)])
    await issues.ingest([event("brought", at=ago(9 - n), **made) for n in range(8)])
    found = await look(postgres)
    newest = found.generations[0]
    assert (newest.generation, newest.at, newest.new) == (42, ago(10), 1)
    # The ring of these tests keeps five.
    assert (newest.before, newest.after) == (1, 5)
    (told,) = [one for one in suggestions(found) if "Generation 42" in one.what]
    assert "brought" in told.evidence
    assert "rollback" in told.advice


async def test_suggestions_quote_and_name_a_page(issues: Issues, postgres: Postgres) -> None:
    await issues.ingest([event("write failed: No space left on device", at=ago(1))] * 3)
    (told,) = suggestions(await look(postgres))
    assert "3 times" in told.evidence
    assert "No space left" in told.evidence
    assert told.runbook == "docs/explanation/health.md"


@pytest.mark.parametrize(
    ("message", "runbook"),
    [
        ("aistack-backup.service failed: exit-code", "docs/how-to/back-up.md"),
        ("pgbackrest: cannot reach PostgreSQL", "docs/how-to/back-up.md"),
        ("the certificate ran out", "docs/how-to/get-certificates.md"),
        ("postgresql.service failed: oom-kill", "docs/reference/configuration.md"),
    ],
)
async def test_a_suggestion_fits_what_is_wrong(
    issues: Issues, postgres: Postgres, message: str, runbook: str
) -> None:
    await issues.ingest([event(message, at=ago(1), component="x")])
    (told,) = suggestions(await look(postgres))
    assert told.runbook == runbook


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the package's source has no docs")
def test_every_page_that_is_named_is_there() -> None:
    named = [rule.runbook for rule in _RULES if rule.runbook]
    assert named
    assert [page for page in named if not (ROOT / page).is_file()] == []


async def test_the_page_has_all_and_nothing_from_elsewhere(
    issues: Issues, postgres: Postgres
) -> None:
    await issues.ingest(every(1, 'say "<b>&amp;"', component="<i>", start=30))
    found = await look(postgres)
    drawn = await plots(postgres, found)
    assert sum(sum(bar.values()) for bar in drawn.bars) == found.events
    assert sum(drawn.sparklines[found.top[0].id]) == found.events
    text = page(found, drawn, suggestions(found))
    assert "<b>" not in text
    assert "&lt;i&gt;" in text
    for tag in ("<script", "<link", "<img", "src=", "url("):
        assert tag not in text


async def test_an_empty_tracker_has_a_page_too(postgres: Postgres) -> None:
    found = await look(postgres)
    assert (found.events, found.issues) == (0, 0)
    assert suggestions(found) == []
    assert "</html>" in page(found, await plots(postgres, found), [])
