"""The kinds of panels, each with its size and its habits."""

from aistack.mixin.dashboards.model import FINE, QUIET, Panel, Query, Steps, Words

_LINES = 8


def stat(
    title: str,
    shows: str,
    unit: str,
    expr: str,
    *,
    steps: Steps = QUIET,
    words: Words = (),
    width: int = 4,
    to: str = "",
) -> Panel:
    """One number, as it is now."""
    return Panel(
        look="stat", title=title, shows=shows, unit=unit, queries=(Query(expr),),
        width=width, height=4, steps=steps, words=words, to=to,
    )  # fmt: skip


def graph(
    title: str,
    shows: str,
    unit: str,
    *queries: Query,
    steps: Steps = FINE,
    stacked: bool = False,
    most: float | None = None,
    width: int = 8,
    to: str = "",
) -> Panel:
    """Lines over time."""
    return Panel(
        look="timeseries", title=title, shows=shows, unit=unit, queries=queries,
        width=width, height=_LINES, steps=steps, stacked=stacked, most=most, to=to,
    )  # fmt: skip


def bars(
    title: str,
    shows: str,
    unit: str,
    query: Query,
    *,
    steps: Steps = FINE,
    most: float | None = None,
    width: int = 8,
) -> Panel:
    """A bar for each of what is there now, to be compared."""
    return Panel(
        look="bargauge", title=title, shows=shows, unit=unit, queries=(query,),
        width=width, height=_LINES, steps=steps, most=most,
    )  # fmt: skip


def states(title: str, shows: str, query: Query, words: Words, *, width: int = 12) -> Panel:
    """A band for each, coloured by the state it was in."""
    return Panel(
        look="state-timeline", title=title, shows=shows, unit="none", queries=(query,),
        width=width, height=_LINES, words=words,
    )  # fmt: skip


def table(title: str, shows: str, unit: str, *queries: Query, width: int = 12) -> Panel:
    """A line for each of what is there now, with its labels, and a column for each query."""
    return Panel(
        look="table", title=title, shows=shows, unit=unit, queries=queries,
        width=width, height=_LINES, steps=QUIET,
    )  # fmt: skip


def lines(title: str, shows: str, expr: str) -> Panel:
    """Lines of the log, the newest first."""
    return Panel(
        look="logs", title=title, shows=shows, unit="none", queries=(Query(expr, kind="loki"),),
        width=24, height=12,
    )  # fmt: skip
