"""The reference of the dashboards, written from the dashboards."""

from collections.abc import Iterator

from aistack.mixin.dashboards import DASHBOARDS
from aistack.mixin.dashboards.model import Dashboard, Panel, Row

_HEAD = """# Dashboards

Written by `aistack mixin reference dashboards`. {dashboards} dashboards with {panels} panels and \
{queries} queries. [Use the dashboards](../how-to/dashboards.md) tells how they come into Grafana.
The first row of each is open; the others are folded, and ask nothing until they are opened."""


def reference() -> str:
    """``docs/reference/dashboards.md``."""
    panels = [panel for one in DASHBOARDS for panel in one.panels()]
    head = _HEAD.format(
        dashboards=len(DASHBOARDS),
        panels=len(panels),
        queries=sum(len(panel.queries) for panel in panels),
    )
    return "\n\n".join([head, *(part for one in DASHBOARDS for part in _dashboard(one))]) + "\n"


def _dashboard(one: Dashboard) -> Iterator[str]:
    yield f"## {one.title.removeprefix('aistack / ')}"
    runbook = f" Runbook: `{one.runbook}`." if one.runbook else ""
    yield f"`{one.uid}`. {one.about}{runbook}"
    for row in one.rows:
        yield f"### {one.title.removeprefix('aistack / ')}: {row.title}"
        yield _table(one, row)


def _table(one: Dashboard, row: Row) -> str:
    rows = [f"| {panel.title} | {panel.shows} | {_queries(one, panel)} |" for panel in row.panels]
    return "\n".join(["| Panel | Shows | Query |", "|---|---|---|", *rows])


def _queries(one: Dashboard, panel: Panel) -> str:
    # A bar would end the cell, in code, too.
    whole = (one.whole(query).replace("|", "\\|") for query in panel.queries)
    return "<br>".join(f"`` {expr} ``" if "`" in expr else f"`{expr}`" for expr in whole)
