"""The coordinator's HTTP API does what its own OpenAPI description says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from inside import Key, answering, described, document, unstated
from operations import each_operation, try_all
from schemathesis import Case

BASE = "http://localhost:8092"
ACCEPTED = ("2xx", "404", "409")

anything, allowed = (described("coordinator", mode, *ACCEPTED) for mode in ("all", "positive"))


@pytest.fixture(scope="module")
def key(module_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Key]:
    with answering("coordinator", module_dsn, tmp_path_factory.mktemp("contract")) as key:
        yield key


NOT_IN_A_SCHEMA = {
    "POST /v1/interactions": "no control characters, feedback needs an outcome",
    "POST /v1/augment": "no control characters",
    "GET /v1/solutions": "a cursor is signed",
}
"""Operations that refuse some of what their description allows, and why."""


def test_the_description_is_served(key: Key) -> None:
    found = requests.get(BASE + "/openapi.json", headers=key, timeout=10)
    assert found.json() == document("coordinator")


@each_operation(anything)
def test_every_operation_keeps_to_its_description(operation: Any, key: Key) -> None:
    excluded = unstated(operation, NOT_IN_A_SCHEMA)
    try_all(
        operation, lambda case: case.call_and_validate(BASE, headers=key, excluded_checks=excluded)
    )


@each_operation(allowed)
def test_so_it_does_with_things_that_exist(operation: Any, key: Key) -> None:
    excluded = unstated(operation, NOT_IN_A_SCHEMA)

    def check(case: Case) -> None:
        if "id" in (case.path_parameters or {}):
            case.path_parameters["id"] = make(key)["solutions" in case.path]
        if isinstance(case.body, dict) and "question" in case.body:
            case.body |= {"question": "how is it done", "collections": []}
            if "response" in case.body:
                del case.body["collections"]
                case.body |= {"outcome": "success", "session": None}
        case.call_and_validate(BASE, headers=key, excluded_checks=excluded)

    try_all(operation, check)


def make(key: Key) -> tuple[str, str]:
    """The ids of an interaction and of its solution."""
    body = {"question": "how is it done", "response": "with care", "outcome": "success"}
    made = requests.post(BASE + "/v1/interactions", json=body, headers=key, timeout=10).json()
    return str(made["id"]), str(made["solution_id"])
