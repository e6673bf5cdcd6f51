"""The metrics contract: it knows what the code knows, and services tell nothing else."""

import ast
from pathlib import Path
from typing import get_args

import httpx
import pytest
from notices import heard
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from served import make_key, serving, write_config

import aistack
from aistack.api.services import ServiceName
from aistack.backup.model import Part as BackupPart
from aistack.coordinator.model import Outcome
from aistack.errors import Reason as Refusal
from aistack.gc.model import TIERS, Reason, Result, SweepKind
from aistack.issues.model import CATEGORIES, SEVERITIES
from aistack.jobs.ledger import Job
from aistack.knowledge.search import UsedMode
from aistack.limits.limiter import _SCOPES
from aistack.monitoring.contract import METRICS, PARTS, SERIES
from aistack.monitoring.contract.backup import PARTS as BACKUP_PARTS
from aistack.monitoring.contract.reference import markdown
from aistack.monitoring.contract.spec import CounterSpec, HistogramSpec, Label, Spec
from aistack.screening.detectors import KINDS
from aistack.settings.schema import DEPENDENCIES

SOURCE = Path(aistack.__file__).parent
REFERENCE = Path(__file__).parents[4] / "docs" / "reference" / "metrics.md"


def values(metric: str, label: str) -> set[str]:
    (found,) = (one for one in METRICS[metric].labels if one.name == label)
    return set(found.values)


@pytest.mark.parametrize(
    ("metric", "label", "known"),
    [
        ("aistack_job_runs_total", "job_name", get_args(Job)),
        ("aidb_query_validation_failures_total", "reason", get_args(Refusal)),
        ("aidb_malicious_patterns_detected_total", "kind", KINDS),
        ("aidb_rate_limit_rejections_total", "scope", _SCOPES),
        ("aidb_searches_total", "mode", get_args(UsedMode)),
        ("coordinator_outcomes_total", "outcome", get_args(Outcome)),
        ("dependency_health_status", "dependency", DEPENDENCIES),
        ("service_health_status", "service", get_args(ServiceName)),
        ("hybrid_gc_solutions_deleted_total", "reason", get_args(Reason)),
        ("hybrid_gc_runs_total", "result", get_args(Result)),
        ("hybrid_gc_execution_seconds", "tier", TIERS),
        ("hybrid_gc_swept_total", "kind", get_args(SweepKind)),
        ("aidb_issues_created_total", "severity", SEVERITIES),
        ("aidb_issues_created_total", "category", CATEGORIES),
    ],
)
def test_it_knows_the_values_that_the_code_has(
    metric: str, label: str, known: tuple[str, ...]
) -> None:
    assert values(metric, label) == set(known)


def test_it_knows_the_parts_of_a_backup() -> None:
    assert set(BACKUP_PARTS) == set(get_args(BackupPart))


def test_every_metric_is_made_from_it() -> None:
    """What makes one in prometheus_client is called in one file alone."""
    makers = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
    makers |= {f"{kind}MetricFamily" for kind in makers}
    guilty = []
    for path in SOURCE.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        imported = {
            alias.asname or alias.name
            for node in nodes
            if isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("prometheus_client")
            for alias in node.names
        }
        called = {
            node.func.id
            for node in nodes
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        if imported & called & makers and path.name != "spec.py":
            guilty.append(path)
    assert not guilty


def test_names_say_what_they_count() -> None:
    assert len(METRICS) == sum(len(part.metrics) for part in PARTS), "a name is there twice"
    for spec in METRICS.values():
        assert isinstance(spec, CounterSpec) == spec.name.endswith("_total"), spec.name
        if isinstance(spec, HistogramSpec):
            assert spec.unit, spec.name
        # Prometheus gives these to whatever it scrapes.
        assert not {"job", "instance"} & {label.name for label in spec.labels}, spec.name


def test_a_label_without_a_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="bounds"):
        Label("user")


def test_what_can_be_counted_begins_at_zero() -> None:
    registry = CollectorRegistry()
    closed = Label("a", ("x", "y"))
    CounterSpec("ours_total", "help", (closed, Label("b", ("z",)))).on(registry)
    CounterSpec("opened_total", "help", (closed, Label("b", bound="the routes"))).on(registry)
    assert registry.get_sample_value("ours_total", {"a": "y", "b": "z"}) == 0
    samples = [sample.name for family in registry.collect() for sample in family.samples]
    assert not [name for name in samples if name.startswith("opened")]


@pytest.mark.skipif(not REFERENCE.parent.is_dir(), reason="the package's source has no docs")
def test_the_reference_is_written_from_it() -> None:
    assert REFERENCE.read_text("utf-8") == markdown(), (
        "aistack mixin reference metrics > docs/reference/metrics.md"
    )


@pytest.mark.parametrize(
    ("service", "workers"),
    [
        ("aidb", 1),
        pytest.param("aidb", 2, marks=pytest.mark.slow),
        pytest.param("coordinator", 1, marks=pytest.mark.slow),
    ],
)
def test_services_tell_what_it_says_and_nothing_else(
    tmp_path: Path, runtime: Path, dsn: str, service: ServiceName, workers: int
) -> None:
    config, url = write_config(tmp_path, dsn, workers, section=service)
    headers = {"X-API-Key": make_key(config)}
    with serving(config, runtime, service) as (_server, systemd):
        assert heard(systemd) == b"READY=1"
        client = httpx.Client(base_url=url, headers=headers, timeout=20)
        with client:
            client.get("/health/detailed")
            client.get("/nowhere")
            text = client.get("/metrics").text
    told = {family.name: family for family in text_string_to_metric_families(text)}
    expected = {spec.name.removesuffix("_total"): spec for spec in METRICS.values()}
    assert not set(told) - set(expected)
    always = {name for name, spec in expected.items() if not spec.when}
    assert not always - set(told)
    for name, family in told.items():
        spec = expected[name]
        assert family.type == spec.kind, name
        for sample in family.samples:
            assert SERIES[sample.name] is spec
            check_labels(spec, sample.labels)
        if workers == 1:  # several workers' files do not keep it
            assert family.documentation == spec.help
        labelled_by_events = {label.name for label in spec.labels if label.bound}
        assert (
            family.samples
            or spec.when
            or labelled_by_events
            or "job_name" in {label.name for label in spec.labels}
        ), f"{name} has no series from the start"


def check_labels(spec: Spec, found: dict[str, str]) -> None:
    known = {label.name: label for label in spec.labels}
    assert set(found) - {"le", "pid"} == set(known), spec.name
    for name, value in found.items():
        if name in known and known[name].values:
            assert value in known[name].values, (spec.name, name, value)
