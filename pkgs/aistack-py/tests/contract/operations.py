"""Each operation of a description, tried by schemathesis in a test of its own.

`schema.parametrize()` would do, but it makes the cases of all operations while pytest collects: in
every worker, whichever tests are wanted. Here each test makes its own when it runs.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import load_all_checks
from schemathesis.generation.hypothesis.builder import (
    HypothesisTestConfig,
    HypothesisTestMode,
    create_test,
)

EXAMPLES = 20
"""Of each operation, beside those of the coverage phase; the same ones each time."""


def each_operation(schema: Any) -> pytest.MarkDecorator:
    """Give the test an ``operation``, one of the schema's after the other."""
    operations = [found.ok() for found in schema.get_all_operations()]
    return pytest.mark.parametrize("operation", operations, ids=lambda one: one.label)


def try_all(operation: Any, check: Callable[[Case], None]) -> None:
    """Check each of the cases that schemathesis makes of an operation."""
    load_all_checks()
    project = operation.schema.config

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
    )
    def each(case: Case) -> None:
        check(case)

    create_test(
        operation=operation,
        test_func=each,
        config=HypothesisTestConfig(
            project=project,
            modes=list(HypothesisTestMode),
            settings=project.get_hypothesis_settings(operation=operation, phase="fuzzing"),
        ),
    )()
