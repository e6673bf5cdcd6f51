"""What Grafana reads of a dashboard, as types: unknown keys and missing ones are mistakes."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Uid = Annotated[str, Meta(pattern="^[a-z0-9-]{1,40}$")]
Words = Annotated[str, Meta(min_length=1)]


class Strict(Struct, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    pass


class Source(Strict):
    type: Literal["prometheus", "loki"]
    uid: Literal["${datasource}", "${loki}"]


class Grid(Strict):
    x: Annotated[int, Meta(ge=0, lt=24)]
    y: Annotated[int, Meta(ge=0)]
    w: Annotated[int, Meta(ge=1, le=24)]
    h: Annotated[int, Meta(ge=1, le=20)]


class Target(Strict):
    ref_id: Annotated[str, Meta(pattern="^[A-Z]$")]
    datasource: Source
    expr: Words
    legend_format: str
    format: Literal["time_series", "table"] | None = None
    instant: bool | None = None
    range: bool | None = None
    query_type: Literal["instant", "range"] | None = None


class Step(Strict):
    color: Words
    value: float | None


class Thresholds(Strict):
    mode: Literal["absolute"]
    steps: Annotated[list[Step], Meta(min_length=1)]


class Mapping(Strict):
    type: Literal["value", "special"]
    options: dict[str, Any]


class Colour(Strict):
    mode: Literal["palette-classic", "thresholds"]


class Field(Strict):
    unit: Words
    color: Colour
    thresholds: Thresholds
    mappings: list[Mapping]
    custom: dict[str, Any]
    min: float | None = None
    max: float | None = None


class FieldConfig(Strict):
    defaults: Field
    overrides: list[Any]


class PanelLink(Strict):
    title: Words
    url: Annotated[str, Meta(pattern="^/d/aistack-[a-z]+\\?")]
    target_blank: bool


class Panel(Strict, tag_field="type"):
    id: int
    title: Words
    description: Annotated[str, Meta(min_length=10)]
    grid_pos: Grid
    datasource: Source
    targets: Annotated[list[Target], Meta(min_length=1, max_length=26)]
    field_config: FieldConfig
    options: Annotated[dict[str, Any], Meta(min_length=1)]
    links: list[PanelLink]
    transformations: list[Any]


class Stat(Panel, tag="stat"):
    pass


class Graph(Panel, tag="timeseries"):
    pass


class Bars(Panel, tag="bargauge"):
    pass


class Table(Panel, tag="table"):
    pass


class States(Panel, tag="state-timeline"):
    pass


class Logs(Panel, tag="logs"):
    pass


Look = Stat | Graph | Bars | Table | States | Logs


class Row(Strict, tag_field="type", tag="row"):
    id: int
    title: Words
    collapsed: bool
    grid_pos: Grid
    panels: list[Look]


class Link(Strict):
    type: Literal["link", "dashboards"]
    title: Words
    tags: list[str]
    as_dropdown: bool
    icon: Words
    include_vars: bool
    keep_time: bool
    target_blank: bool
    tooltip: str
    url: str


class Variable(Strict):
    type: Literal["datasource", "query", "textbox"]
    name: Annotated[str, Meta(pattern="^[a-z_]+$")]
    label: Words
    query: str | dict[str, str]
    hide: Literal[0]
    options: list[Any]
    current: dict[str, Any]
    datasource: Source | None = None
    definition: str | None = None
    refresh: Literal[1, 2] | None = None
    sort: int | None = None
    regex: str | None = None
    multi: bool | None = None
    include_all: bool | None = None
    all_value: str | None = None


class Annotation(Strict):
    name: Words
    datasource: Source
    enable: bool
    hide: bool
    icon_color: Words
    expr: Words
    step: Words
    title_format: Words
    text_format: str
    use_value_for_time: bool


class Variables(Strict):
    list: list[Variable]


class Annotations(Strict):
    list: list[Annotation]


class Time(Strict):
    from_: str = msgspec.field(name="from")
    to: str


class Dashboard(Strict):
    uid: Uid
    title: Words
    description: Words
    tags: list[str]
    schema_version: Annotated[int, Meta(ge=39, le=42)]
    version: int
    editable: bool
    graph_tooltip: int
    timezone: Literal["browser", "utc"]
    refresh: Words
    time: Time
    timepicker: dict[str, Any]
    fiscal_year_start_month: int
    links: list[Link]
    templating: Variables
    annotations: Annotations
    panels: list[Row | Look]

    def shown(self) -> list[Look]:
        """What is on the page before a row is opened."""
        return [one for one in self.panels if not isinstance(one, Row)]

    def rows(self) -> list[Row]:
        return [one for one in self.panels if isinstance(one, Row)]

    def all(self) -> list[Look]:
        return self.shown() + [panel for row in self.rows() for panel in row.panels]
