"""The OpenAPI 3.1 document, made from the same values that serve the requests."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

import aistack
from aistack.api.endpoint import PATH_TYPES, Endpoint
from aistack.api.guards import BROWSABLE
from aistack.api.problems import KINDS, MEDIA_TYPE, Problem

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_BODYLESS = (204, 304)
_PHRASES = {
    200: "Success",
    201: "Created",
    202: "Accepted",
    204: "Done",
    304: "Not modified",
    503: "Not available",
}
_TAG = '"[!#-~]+"'
_WEAK_TAG = f"(W/)?{_TAG}"
_HEADER_SCHEMAS = {
    "If-Match": {"type": "string", "pattern": rf"^(\*|{_TAG})$"},
    "If-None-Match": {"type": "string", "pattern": rf"^(\*|{_WEAK_TAG}(, ?{_WEAK_TAG})*)$"},
}
_CREATES_ONLY = {"type": "string", "enum": ["*"]}
"""If-None-Match of a request that writes."""


def document(endpoints: Sequence[Endpoint], title: str = "aistack") -> dict[str, Any]:
    """The whole document; every $ref in it resolves inside it."""
    types: list[Any] = [Problem]
    for endpoint in endpoints:
        types += [kind for kind in (endpoint.body, endpoint.query, endpoint.response) if kind]
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    by_type = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = _PARAMETER.sub(r"{\1}", endpoint.path)
        operation = _operation(endpoint, by_type, components)
        paths.setdefault(path, {})[endpoint.method.lower()] = operation
    problem_responses = {
        code: {
            "description": kind.title,
            "content": {MEDIA_TYPE: {"schema": by_type[repr(Problem)]}},
        }
        for code, kind in KINDS.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": aistack.__version__,
            "description": aistack.__doc__ or "",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": problem_responses,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The API key as password, any user name.",
                },
            },
        },
        "security": [{"bearer": []}, {"apiKey": []}],
    }


def _operation(
    endpoint: Endpoint, by_type: dict[str, Any], components: dict[str, Any]
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "tags": list(endpoint.tags),
    }
    if endpoint.scope is None:
        operation["security"] = []
    else:
        operation["description"] = f"Needs a key with the scope {endpoint.scope}."
        if endpoint.path in BROWSABLE:
            operation["security"] = [{"bearer": []}, {"apiKey": []}, {"basic": []}]
    if parameters := _parameters(endpoint, components):
        operation["parameters"] = parameters
    if endpoint.body:
        content = {"application/json": {"schema": by_type[repr(endpoint.body)]}}
        operation["requestBody"] = {"required": True, "content": content}
    if endpoint.raw_body:
        content = {endpoint.raw_body: {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "content": content}
    responses: dict[str, Any] = {}
    for status in (endpoint.status, *endpoint.also):
        responses[str(status)] = answer = {"description": _PHRASES[status]}
        if endpoint.response is not None and status not in _BODYLESS:
            schema = by_type[repr(endpoint.response)]
            answer["content"] = {endpoint.media_type: {"schema": schema}}  # type: ignore[assignment]
    for code in endpoint.problem_codes():
        responses.setdefault(str(KINDS[code].status), {"$ref": f"#/components/responses/{code}"})
    operation["responses"] = responses
    return operation


def _parameters(endpoint: Endpoint, components: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in _PARAMETER.findall(endpoint.path):
        schema = msgspec.json.schema(PATH_TYPES.get(name, str))
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    if endpoint.query:
        schema = components[endpoint.query.__name__]
        required = schema.get("required", [])
        for name, part in schema["properties"].items():
            found.append(
                {"name": name, "in": "query", "required": name in required, "schema": part}
            )
    for name in endpoint.headers:
        only = name == "If-None-Match" and endpoint.method != "GET"
        schema = _CREATES_ONLY if only else _HEADER_SCHEMAS[name]
        found.append({"name": name, "in": "header", "required": False, "schema": schema})
    return found
