"""The HTTP API does what its OpenAPI description says: schemathesis asks, a real stack answers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from inside import Key, answering, described, document, unstated
from operations import each_operation, try_all
from schemathesis import Case
from schemathesis.specs.openapi.checks import negative_data_rejection

from aistack.access.model import LOCAL_OPERATOR
from aistack.knowledge.model import NewDocument
from aistack.wiring import Stack

BASE = "http://localhost:8091"
ACCEPTED = ("2xx", "304", "404", "409", "412")

anything, allowed = (described("aidb", mode, *ACCEPTED) for mode in ("all", "positive"))


async def fill(stack: Stack) -> None:
    new = NewDocument(path="a.md", source=b"# A\n\nsome text")
    await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new)


@pytest.fixture(scope="module")
def key(module_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Key]:
    with answering("aidb", module_dsn, tmp_path_factory.mktemp("contract"), fill) as key:
        yield key


NOT_IN_A_SCHEMA = {
    "POST /v1/query": "a cursor is signed",
    "GET /v1/collections/{collection}/documents": "a cursor is signed",
    "PUT /v1/collections/{collection}/documents": "exactly one content, of a readable kind",
    "POST /v1/collections": "no control characters",
    "POST /v1/keys": "an expiry lies in the future, a name is printable",
    "GET /v1/issues": "a cursor is signed",
    "POST /v1/issues": "no U+0000",
    "POST /v1/issues/alertmanager": "no U+0000",
    "PATCH /v1/issues/{issue}": "a status and what belongs to it go together",
    "POST /api/{project}/envelope/": "lines of JSON",
    "POST /api/{project}/store/": "JSON",
}
"""Operations that refuse some of what their description allows, and why."""


def test_the_description_is_served(key: Key) -> None:
    served = requests.get(BASE + "/openapi.json", headers=key, timeout=10)
    assert served.json() == document("aidb")


@each_operation(anything)
def test_every_operation_keeps_to_its_description(operation: Any, key: Key) -> None:
    excluded = unstated(operation, NOT_IN_A_SCHEMA)
    try_all(
        operation, lambda case: case.call_and_validate(BASE, headers=key, excluded_checks=excluded)
    )


@each_operation(allowed)
def test_so_it_does_with_things_that_exist(operation: Any, key: Key) -> None:
    """Names that are made up are mostly not found; here they are of things made just before."""
    # A wrong name that was made up is a right one now.
    excluded = [negative_data_rejection, *unstated(operation, NOT_IN_A_SCHEMA)]

    def check(case: Case) -> None:
        for name in case.path_parameters or {}:
            case.path_parameters[name] = MADE[name](key)
        if isinstance(case.body, dict):
            case.body |= {k: v for k, v in USABLE.items() if k in case.body}
            if operation.label.startswith("PUT "):
                case.body |= {"content": "# A\n\nsome text", "content_base64": None}
        case.call_and_validate(BASE, headers=key, excluded_checks=excluded)

    try_all(operation, check)


def make_collection(key: Key) -> str:
    body = {"name": f"made-{secrets.token_hex(4)}"}
    made = requests.post(BASE + "/v1/collections", json=body, headers=key, timeout=10)
    return str(made.json()["name"])


def make_document(key: Key) -> str:
    body = {"path": f"{secrets.token_hex(4)}.md", "content": "# A\n\nsome text"}
    made = requests.put(
        BASE + "/v1/collections/nixos_docs/documents", json=body, headers=key, timeout=10
    )
    return str(made.json()["document"]["id"])


def make_key(key: Key) -> str:
    body = {"name": "made", "scopes": ["read"]}
    made = requests.post(BASE + "/v1/keys", json=body, headers=key, timeout=10)
    return str(made.json()["info"]["id"])


def make_issue(key: Key) -> str:
    body = {"message": secrets.token_hex(4), "fingerprint": secrets.token_hex(8)}
    requests.post(BASE + "/v1/issues", json=body, headers=key, timeout=10)
    found = requests.get(BASE + "/v1/issues?limit=1", headers=key, timeout=10)
    return str(found.json()["issues"][0]["id"])


USABLE = {
    "collection": "nixos_docs",
    "query": "some text",
    "min_score": 0,
    "cursor": None,
    "expires_at": None,
    "content_type": None,
}
"""Fields of bodies whose values no schema can tell."""
MADE = {
    "collection": lambda _: "nixos_docs",
    "name": make_collection,
    "id": make_document,
    "key_id": make_key,
    "issue": make_issue,
    "project": lambda _: "1",
}
"""A thing for each parameter of a path."""
