"""The reference of metrics, as Markdown."""

from collections.abc import Iterator

from aistack.monitoring.contract import PARTS
from aistack.monitoring.contract.spec import Label, Part, Spec

_HEAD = """\
# Metrics

`GET /metrics` of each service tells these in Prometheus' text format. Written from the code by
`aistack mixin reference metrics`.

Counters of a service begin at 0 when it starts. A metric without a condition is there from the
start, though one with labels has a series only from its first event on.
"""


def markdown() -> str:
    """All parts, each with a table."""
    return "\n".join([_HEAD, *(line for part in PARTS for line in _part(part))])


def _part(part: Part) -> Iterator[str]:
    yield f"## {part.name}\n\n{part.about}\n"
    yield "| Metric | Kind | Unit | Labels | Meaning |\n|---|---|---|---|---|"
    for spec in part.metrics:
        yield f"| `{spec.name}` | {spec.kind} | {spec.unit} | {_labels(spec)} | {_meaning(spec)} |"
    yield ""


def _labels(spec: Spec) -> str:
    return "; ".join(_label(label) for label in spec.labels)


def _label(label: Label) -> str:
    said = ", ".join(f"`{value}`" for value in label.values) or label.bound
    return f"`{label.name}`: {said}"


def _meaning(spec: Spec) -> str:
    return f"{spec.help} ({spec.when})" if spec.when else spec.help
