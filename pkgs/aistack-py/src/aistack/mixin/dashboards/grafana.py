"""A dashboard in Grafana's JSON model (Grafana 11 and newer)."""

from itertools import count
from string import ascii_uppercase
from typing import Any

from aistack.mixin.dashboards.grid import COLUMNS, Place, place
from aistack.mixin.dashboards.model import Annotation, Dashboard, Kind, Panel, Row, Variable
from aistack.mixin.runbooks import Runbooks

_SCHEMA = 41
_TAG = "aistack"
_SOURCES: dict[Kind, dict[str, str]] = {
    "prometheus": {"type": "prometheus", "uid": "${datasource}"},
    "loki": {"type": "loki", "uid": "${loki}"},
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "auto",
    },
    "timeseries": {
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "bargauge": {
        "displayMode": "basic",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
        "valueMode": "color",
    },
    "table": {"cellHeight": "sm", "showHeader": True},
    "state-timeline": {
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
        "mergeValues": True,
        "rowHeight": 0.9,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    },
    "logs": {
        "dedupStrategy": "none",
        "enableLogDetails": True,
        "prettifyLogMessage": False,
        "showCommonLabels": False,
        "showLabels": False,
        "showTime": True,
        "sortOrder": "Descending",
        "wrapLogMessage": True,
    },
}
_AT_ONCE = ("stat", "bargauge", "table")
"""They show how it is now: Prometheus is asked for one moment, not for the whole range."""


def model(dashboard: Dashboard, runbooks: Runbooks) -> dict[str, Any]:
    """What Grafana imports, or is provisioned with.

    Args:
        dashboard: which.
        runbooks: where they are to be read.
    """
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": [_TAG],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,  # the same moment is marked in all graphs
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "fiscalYearStartMonth": 0,
        "links": _links(dashboard, runbooks),
        "templating": {"list": _variables(dashboard)},
        "annotations": {"list": [_annotation(one) for one in dashboard.annotations]},
        "panels": _rows(dashboard),
    }


def _rows(dashboard: Dashboard) -> list[dict[str, Any]]:
    ids = count(1)
    panels: list[dict[str, Any]] = []
    y = 0
    for number, row in enumerate(dashboard.rows):
        folded = number > 0
        heading = _heading(next(ids), row, y, folded=folded)
        places, below = place(row.panels, y + 1)
        inside = [
            _panel(dashboard, next(ids), panel, where)
            for panel, where in zip(row.panels, places, strict=True)
        ]
        panels.append(heading)
        if folded:
            heading["panels"] = inside
            y += 1
        else:
            panels += inside
            y = below
    return panels


def _heading(number: int, row: Row, y: int, *, folded: bool) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": row.title,
        "collapsed": folded,
        "gridPos": Place(0, y, COLUMNS, 1)._asdict(),
        "panels": [],
    }


def _panel(dashboard: Dashboard, number: int, panel: Panel, where: Place) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.look,
        "title": panel.title,
        "description": panel.shows,
        "gridPos": where._asdict(),
        "datasource": _SOURCES[panel.queries[0].kind],
        "targets": _targets(dashboard, panel),
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _OPTIONS[panel.look],
        "links": _more(panel),
        "transformations": _columns(panel) if panel.look == "table" else [],
    }


def _columns(panel: Panel) -> list[dict[str, Any]]:
    letters = zip(ascii_uppercase, panel.queries, strict=False)
    names = {f"Value #{letter}": query.legend for letter, query in letters if query.legend}
    if len(panel.queries) == 1 and names:
        names = {"Value": panel.queries[0].legend}
    organize = {"excludeByName": {"Time": True, "__name__": True}, "renameByName": names}
    return [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]


def _targets(dashboard: Dashboard, panel: Panel) -> list[dict[str, Any]]:
    now = panel.look in _AT_ONCE
    targets = []
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        target: dict[str, Any] = {
            "refId": letter,
            "datasource": _SOURCES[query.kind],
            "expr": dashboard.whole(query),
            "legendFormat": query.legend,
        }
        if query.kind == "loki":
            target["queryType"] = "instant" if now else "range"
        else:
            target |= {
                "format": "table" if panel.look == "table" else "time_series",
                "instant": now,
                "range": not now,
            }
        targets.append(target)
    return targets


def _field(panel: Panel) -> dict[str, Any]:
    steps = [{"color": colour, "value": value} for value, colour in panel.steps]
    field: dict[str, Any] = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if panel.look == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": _mappings(panel),
        "custom": _custom(panel),
    }
    if panel.unit not in ("s", "dateTimeFromNow"):
        field["min"] = 0
    if panel.most is not None:
        field["max"] = panel.most
    return field


def _mappings(panel: Panel) -> list[dict[str, Any]]:
    nothing = {"match": "null+nan", "result": {"text": "none", "color": "text", "index": 0}}
    mappings: list[dict[str, Any]] = [{"type": "special", "options": nothing}]
    if panel.words:
        options = {
            f"{value:g}": {"text": word, "color": colour, "index": index}
            for index, (value, word, colour) in enumerate(panel.words, start=1)
        }
        mappings.append({"type": "value", "options": options})
    return mappings


def _custom(panel: Panel) -> dict[str, Any]:
    if panel.look == "state-timeline":
        return {"fillOpacity": 70, "lineWidth": 0}
    if panel.look != "timeseries":
        return {}
    return {
        "drawStyle": "line",
        "fillOpacity": 30 if panel.stacked else 10,
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
        "thresholdsStyle": {"mode": "dashed" if len(panel.steps) > 1 else "off"},
    }


def _more(panel: Panel) -> list[dict[str, Any]]:
    if not panel.to:
        return []
    return [{"title": "More", "url": f"/d/{panel.to}?${{__url_time_range}}", "targetBlank": False}]


def _links(dashboard: Dashboard, runbooks: Runbooks) -> list[dict[str, Any]]:
    others = {
        "type": "dashboards", "title": "Dashboards", "tags": [_TAG], "asDropdown": True,
        "icon": "external link", "includeVars": False, "keepTime": True, "targetBlank": False,
        "tooltip": "The other parts", "url": "",
    }  # fmt: skip
    if not dashboard.runbook:
        return [others]
    runbook = {
        "type": "link", "title": "Runbook", "tags": [], "asDropdown": False,
        "icon": "doc", "includeVars": False, "keepTime": False, "targetBlank": True,
        "tooltip": "What to do", "url": runbooks.page(dashboard.runbook),
    }  # fmt: skip
    return [others, runbook]


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    sources = [_source("datasource", "Prometheus", "prometheus")]
    if dashboard.loki:
        sources.append(_source("loki", "Loki", "loki"))
    return [*sources, *map(_variable, dashboard.variables)]


def _source(name: str, label: str, kind: Kind) -> dict[str, Any]:
    return {
        "type": "datasource", "name": name, "label": label, "query": kind, "hide": 0, "refresh": 1,
        "regex": "", "multi": False, "includeAll": False, "options": [], "current": {},
    }  # fmt: skip


def _variable(one: Variable) -> dict[str, Any]:
    if not one.values:
        return {
            "type": "textbox", "name": one.name, "label": one.label, "query": "", "hide": 0,
            "options": [], "current": {"text": "", "value": ""},
        }  # fmt: skip
    return {
        "type": "query", "name": one.name, "label": one.label, "hide": 0,
        "datasource": _SOURCES[one.kind], "definition": one.values, "query": _values(one),
        "refresh": 2,  # with the time range: an instance that went is found in its own time
        "sort": 1, "regex": "", "multi": True, "includeAll": True, "allValue": one.everything,
        "options": [], "current": {"text": ["All"], "value": ["$__all"]},
    }  # fmt: skip


def _values(one: Variable) -> str | dict[str, str]:
    return one.values if one.kind == "loki" else {"query": one.values, "refId": one.name}


def _annotation(one: Annotation) -> dict[str, Any]:
    return {
        "name": one.name,
        "datasource": _SOURCES[one.query.kind],
        "enable": one.shown,
        "hide": False,
        "iconColor": one.colour,
        "expr": one.query.expr,
        "step": "60s",
        "titleFormat": one.title,
        "textFormat": one.query.legend,
        "useValueForTime": False,
    }
