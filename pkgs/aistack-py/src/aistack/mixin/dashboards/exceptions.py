"""Panels that have nothing to show in a test, each with its reason.

Everywhere else a panel without a series is a mistake.
"""

from collections.abc import Mapping

WITHOUT_DATA: Mapping[tuple[str, str], str] = {
    ("aistack-qdrant", "Time of an answer (p95)"): (
        "what stands in for Qdrant in the test has no histogram of its answers"
    ),
    ("aistack-host", "Clock"): "the test's host is a container, which may not look at its clock",
    ("aistack-monitoring", "Grafana"): "the test has no Grafana",
    ("aistack-monitoring", "Log lines taken in"): "the test has no Loki",
    ("aistack-monitoring", "Log lines sent"): "the test has no Alloy",
}
"""By uid and title."""
