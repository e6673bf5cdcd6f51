"""What a dashboard is, before it is Grafana's JSON: rows of panels, panels of queries."""

from typing import Literal

from msgspec import Struct

Kind = Literal["prometheus", "loki"]
Look = Literal["stat", "timeseries", "bargauge", "table", "state-timeline", "logs"]

Steps = tuple[tuple[float | None, str], ...]
"""From a value on, this colour; the first has no value."""
Words = tuple[tuple[float, str, str], ...]
"""A value, the word and the colour that stand for it."""

QUIET: Steps = ((None, "text"),)
FINE: Steps = ((None, "green"),)
NONE: Steps = ((None, "green"), (1, "red"))
SOME: Steps = ((None, "red"), (1, "green"))
GOOD_IS_ONE: Words = ((1, "yes", "green"), (0, "no", "red"))
WELL: Words = ((1, "well", "green"), (0.5, "warning", "yellow"), (0, "fails", "red"))
BAD_IS_ONE: Words = ((0, "no", "green"), (1, "yes", "red"))


def rising(warning: float, critical: float) -> Steps:
    """Less is better."""
    return ((None, "green"), (warning, "yellow"), (critical, "red"))


def falling(warning: float, critical: float) -> Steps:
    """More is better."""
    return ((None, "red"), (critical, "yellow"), (warning, "green"))


class Query(Struct, frozen=True):
    """A question to Prometheus or Loki.

    In ``expr``, ``{@}`` and ``{@, more}`` stand for a selector with the labels that all of the
    dashboard has (`Dashboard.labels`).
    """

    expr: str
    legend: str = ""
    kind: Kind = "prometheus"


class Panel(Struct, frozen=True, kw_only=True):
    """One picture."""

    look: Look
    title: str
    """Differs from all others of the dashboard."""
    shows: str
    """What is seen, and what of it is bad."""
    unit: str
    """Grafana's name of it."""
    queries: tuple[Query, ...]
    width: int
    """Of the grid's 24 columns."""
    height: int
    """In lines of 30 pixels."""
    steps: Steps = FINE
    words: Words = ()
    stacked: bool = False
    most: float | None = None
    """The largest value that can be."""
    to: str = ""
    """Uid of the dashboard that tells more."""


class Row(Struct, frozen=True):
    """Panels below a heading; all rows but a dashboard's first are folded, and then ask nothing."""

    title: str
    panels: tuple[Panel, ...]


class Annotation(Struct, frozen=True):
    """Events that are drawn into all graphs: where the query has a value, there was one."""

    name: str
    query: Query
    title: str
    colour: str
    shown: bool = True


class Variable(Struct, frozen=True):
    """What can be chosen above the panels."""

    name: str
    label: str
    values: str = ""
    """The query for what there is to choose; empty: any text."""
    kind: Kind = "prometheus"
    everything: str = ".+"
    """The regular expression behind *All*."""


class Dashboard(Struct, frozen=True, kw_only=True):
    """One page of Grafana."""

    uid: str
    """Never changes: it is in addresses that people keep."""
    title: str
    about: str
    rows: tuple[Row, ...]
    labels: str
    """Label matchers that ``{@}`` stands for."""
    runbook: str = ""
    """File name of the part's runbook."""
    variables: tuple[Variable, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    loki: bool = False
    """Whether it asks Loki, too."""

    def panels(self) -> tuple[Panel, ...]:
        """All, in their order."""
        return tuple(panel for row in self.rows for panel in row.panels)

    def whole(self, query: Query) -> str:
        """Its expression with the dashboard's labels in it."""
        return query.expr.replace("{@", "{" + self.labels)
