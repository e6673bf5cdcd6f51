"""What the units wrote: the journal, as Loki has it."""

from aistack.mixin.dashboards.frame import showing
from aistack.mixin.dashboards.model import Dashboard, Query, Row, Variable
from aistack.mixin.dashboards.panels import bars, graph, lines, table

_CHOSEN = 'level=~"$level"'
_BAD = 'level=~"error|err|crit|critical|alert|emerg"'
_WORSE = 'level=~"warning|warn|error|err|crit|critical|alert|emerg"'
_WORD = "|~ `(?i)$word`"


def _counted(window: str, *, by: str, where: str = _CHOSEN) -> str:
    return f"sum by ({by}) (count_over_time({{@,{where}}}[{window}]))"


def _log(query: str, legend: str = "") -> Query:
    return Query(query, legend, "loki")


_TIMELINE = Row(
    "Timeline",
    (
        graph(
            "Lines by level",
            "Lines of the journal by their level.",
            "short",
            _log(_counted("$__auto", by="level"), "{{level}}"),
            stacked=True,
            width=12,
        ),
        graph(
            "Lines by unit",
            "Lines of the journal by who wrote them.",
            "short",
            _log(_counted("$__auto", by="unit"), "{{unit}}"),
            stacked=True,
            width=12,
        ),
        lines(
            "Newest lines",
            "What the chosen units wrote, with the chosen word in it.",
            f"{{@,{_CHOSEN}}} {_WORD}",
        ),
    ),
)

_REQUEST = Row(
    "One request",
    (
        lines(
            "By request id",
            "All lines with the id that is written above. Each answer has it as X-Request-Id, "
            "and each error in its body.",
            "{@} |= `$request_id` | json | request_id != ``",
        ),
    ),
)

_TROUBLE = Row(
    "Trouble",
    (
        graph(
            "Errors by unit",
            "Lines with the level error or worse.",
            "short",
            _log(_counted("$__auto", by="unit", where=_BAD), "{{unit}}"),
            width=12,
        ),
        bars(
            "Most errors",
            "Units by their lines with the level error or worse, in the chosen time.",
            "short",
            _log(f"topk(10, {_counted('$__range', by='unit', where=_BAD)})", "{{unit}}"),
            width=6,
        ),
        table(
            "Loudest units",
            "Lines of each unit in the chosen time.",
            "short",
            _log(f"topk(10, {_counted('$__range', by='unit')})", "{{unit}}"),
            width=6,
        ),
        lines("Warnings and errors", "The newest of all chosen units.", f"{{@,{_WORSE}}}"),
    ),
)

_EVENTS = Row(
    "Events",
    (
        lines(
            "Starts and stops",
            "What systemd tells of the chosen units.",
            "{@} |~ `(Started|Stopped|Failed to start|Main process exited|Scheduled restart)`",
        ),
        lines(
            "Collections, backups, certificates",
            "What the jobs of the stack tell.",
            "{unit=~`aistack-(gc|backup|tls|drill|verify).*`}",
        ),
    ),
)

LOGS = Dashboard(
    uid="aistack-logs",
    title="aistack / Logs and events",
    about="The journal over time, by unit and level, and every line of one request.",
    labels='unit=~"$unit"',
    loki=True,
    variables=(
        Variable("unit", "Unit", "label_values(unit)", "loki"),
        Variable("level", "Level", "label_values(level)", "loki", everything=".*"),
        Variable("word", "Word"),
        Variable("request_id", "Request id"),
    ),
    annotations=showing(),
    rows=(_TIMELINE, _REQUEST, _TROUBLE, _EVENTS),
)
