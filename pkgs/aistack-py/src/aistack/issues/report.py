"""The analysis as one page: no script, no other file, every text of an issue escaped."""

from collections.abc import Iterable, Sequence
from html import escape

from aistack.issues.analysis import Analysis, Rated
from aistack.issues.model import SEVERITIES
from aistack.issues.plots import COLORS, Plots, sparkline, timeline
from aistack.issues.suggest import Suggestion

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } svg text { font-size: 11px; fill: #555; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #eee;
         vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.s { display: inline-block; width: .7rem; height: .7rem; border-radius: 2px; margin-right: .4rem; }
dl { margin: .4rem 0 1rem; } dt { font-weight: 600; } dd { margin: 0 0 0 1rem; }
.note { color: #666; }
"""


def page(found: Analysis, drawn: Plots, advice: Sequence[Suggestion]) -> str:
    """The whole page as HTML."""
    title = f"Issues until {found.at:%F %H:%M %Z}"
    body = [
        f"<h1>{title}</h1>",
        f'<p class="note">{found.events} events of {found.issues} issues in {found.hours} hours'
        "</p>",
        timeline(drawn),
        "<p>" + " ".join(f"{_mark(name)}{name}" for name in SEVERITIES) + "</p>",
        *_advice(advice),
        *_issues("Most events", found.top, drawn),
        *_issues("New", found.new, drawn),
        *_issues("Came back", found.regressed, drawn),
        *_issues("Rising", found.rising, drawn),
        *_table(
            "Spiking", ["issue", "last hour", "expected", "chance"],
            ((f"{s.issue.id}: {s.issue.title}", s.issue.latest, f"{s.expected:.2f}",
              f"{s.chance:.1e}") for s in found.spiking),
        ),
        *_table(
            "Fail together", ["components", "times", "expected", "chance"],
            ((f"{p.one} and {p.other}", p.together, f"{p.expected:.2f}", f"{p.chance:.1e}")
             for p in found.together),
        ),
        *_table(
            "NixOS generations", ["generation", "new issues", "day before", "day after"],
            ((f"{g.generation} of {g.host}, {g.at:%F %H:%M}", g.new, g.before, g.after)
             for g in found.generations),
        ),
        *_table(
            "Quiet", ["issue", "count", "last seen"],
            ((f"{q.id}: {q.title}", q.count, f"{q.last_seen:%F}") for q in found.quiet),
        ),
    ]  # fmt: skip
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _mark(severity: str) -> str:
    return f'<span class="s" style="background:{COLORS[severity]}"></span>'  # type: ignore[index]


def _advice(advice: Sequence[Suggestion]) -> Iterable[str]:
    if advice:
        yield "<h2>Suggestions</h2><dl>"
        for one in advice:
            read = f"<dd>read: {escape(one.runbook)}</dd>" if one.runbook else ""
            yield (
                f'<dt>{escape(one.what)}</dt><dd class="note">{escape(one.evidence)}</dd>'
                f"<dd>{escape(one.advice)}</dd>{read}"
            )
        yield "</dl>"


def _issues(heading: str, found: Sequence[Rated], drawn: Plots) -> Iterable[str]:
    if not found:
        return
    yield f"<h2>{heading}</h2><table><tr><th>issue<th>component<th class=n>events<th>trend<th></tr>"
    for one in found:
        line = drawn.sparklines.get(one.id)
        yield (
            f"<tr><td>{_mark(one.severity)}{one.id}: {escape(one.title)}"
            f"<td>{escape(one.component)}<td class=n>{one.events}<td>{one.trend}"
            f"<td>{sparkline(line) if line else ''}</tr>"
        )
    yield "</table>"


def _table(heading: str, names: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    lines = [
        "<tr>" + "".join(
            f"<td{' class=n' if n else ''}>{escape(str(cell))}" for n, cell in enumerate(row)
        ) + "</tr>"
        for row in rows
    ]  # fmt: skip
    if lines:
        head = "".join(f"<th{' class=n' if n else ''}>{name}" for n, name in enumerate(names))
        yield f"<h2>{heading}</h2><table><tr>{head}</tr>"
        yield from lines
        yield "</table>"
