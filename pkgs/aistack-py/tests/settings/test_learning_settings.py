from typing import Any

import pytest

from aistack.errors import ConfigError
from aistack.settings.load import parse


def test_the_coordinator_has_a_port_of_its_own_whatever_else_is_set() -> None:
    assert parse({}).coordinator.port == 8092
    settings = parse({"coordinator": {"workers": 2}, "learning": {"weights": {"novelty": 0}}})
    assert (settings.coordinator.port, settings.coordinator.workers) == (8092, 2)
    assert settings.aidb.port == 8091
    assert (settings.learning.weights.novelty, settings.learning.weights.outcome) == (0, 0.4)
    assert settings.learning.merge_similarity == 0.95


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"qdrant": {"path": "/x"}, "coordinator": {"workers": 2}}, "coordinator.workers"),
        (
            {"learning": {"weights": dict.fromkeys(
                ("outcome", "feedback", "reusability", "complexity", "novelty"), 0
            )}},
            "learning.weights",
        ),
        ({"learning": {"weights": {"outcme": 1}}}, "did you mean outcome?"),
        ({"learning": {"merge_similarity": 0}}, "learning.merge_similarity"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_by_name(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(raw)
    assert says in error.value.detail
