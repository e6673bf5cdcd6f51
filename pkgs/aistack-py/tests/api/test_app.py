from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import jsonschema
import pytest
from api_fakes import client, fake_stack, refs, resolve

from aistack.access.model import SCOPES
from aistack.api.app import all_endpoints

pytestmark = pytest.mark.anyio
DOCS = "/v1/collections/notes/documents"


async def test_everything_but_health_needs_a_key() -> None:
    async with client(None) as c:
        for endpoint in all_endpoints():
            path = (
                endpoint.path.replace("{id:uuid}", str(uuid4())).replace("{", "").replace("}", "")
            )
            answer = await c.request(endpoint.method, path)
            assert answer.status_code == (401 if endpoint.scope else 200), path
        for path in ("/mcp", "/nowhere"):
            assert (await c.post(path, json={})).status_code == 401
        none = await c.get("/v1/keys")
        wrong = await c.get("/v1/keys", headers={"X-API-Key": "wrong"})
        drop = {"request_id"}
        assert {k: v for k, v in none.json().items() if k not in drop} == {
            k: v for k, v in wrong.json().items() if k not in drop
        }
        assert none.headers.get_list("www-authenticate") == ['Bearer realm="aistack"']
        assert any(
            "Basic" in v for v in (await c.get("/docs")).headers.get_list("www-authenticate")
        )


async def test_ways_to_present_a_key() -> None:
    async with client(None) as c:
        assert (await c.get("/v1/collections", headers={"X-API-Key": "read"})).status_code == 200
        basic = {"Authorization": "Basic " + base64.b64encode(b"me:read").decode()}
        assert "aidb_http_requests_total" in (await c.get("/metrics", headers=basic)).text
        assert (await c.get("/v1/collections", headers=basic)).status_code == 401
        bad = {"Authorization": "Basic !!!"}
        assert (await c.get("/metrics", headers=bad)).status_code == 401


async def test_scopes() -> None:
    async with client("read") as c:
        answer = await c.put(DOCS, json={"path": "a", "content": "x"})
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:aistack:problem:forbidden")
        assert (await c.get("/v1/keys")).status_code == 403


async def test_a_key_for_metrics_reads_them_and_nothing_else() -> None:
    async with client("metrics") as c:
        assert (await c.get("/metrics")).status_code == 200
        for path in ("/v1/collections", "/v1/keys", "/v1/issues", "/health/detailed", "/docs"):
            assert (await c.get(path)).status_code == 403, path
        assert (await c.put(DOCS, json={"path": "a", "content": "x"})).status_code == 403
        assert (
            await c.post("/v1/query", json={"query": "x", "collection": "notes"})
        ).status_code == 403


@pytest.mark.parametrize("scope", ["read", "write", "admin"])
async def test_who_reads_reads_metrics(scope: str) -> None:
    async with client(scope) as c:
        assert (await c.get("/metrics")).status_code == 200


async def test_what_machines_ask_is_told_of_only_where_it_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with client() as c:
        for path in ("/metrics", "/health/live"):
            await c.get(path)
        assert not [r for r in caplog.records if r.name == "aistack.access_log"]
        await c.get("/metrics", headers={"Authorization": "Bearer none"})
        told = [r.fields["status"] for r in caplog.records if r.name == "aistack.access_log"]  # type: ignore[attr-defined]
    assert told == [401]


async def test_problem_shape_and_headers() -> None:
    async with client() as c:
        answer = await c.get("/nowhere", headers={"X-Request-Id": "abc.1"})
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == "abc.1"
        assert (answer.json()["status"], answer.json()["title"]) == (404, "Not found")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        forged = await c.get("/nowhere", headers={"X-Request-Id": "a b"})
        assert forged.headers["x-request-id"] != "a b"
        wrong = await c.delete("/v1/query")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        assert wrong.json()["type"].endswith("method-not-allowed")


async def test_unexpected_and_unavailable(caplog: pytest.LogCaptureFixture) -> None:
    async with client() as c:
        with caplog.at_level(logging.INFO):
            answer = await c.post(
                "/v1/query?x=hidden", json={"query": "bug", "collection": "notes"}
            )
        assert (answer.status_code, "secret" in answer.text) == (500, False)
        assert answer.json()["request_id"]
        assert "secret internals" in caplog.text
        assert any(getattr(r, "fields", {}).get("route") == "/v1/query" for r in caplog.records)
        assert all("hidden" not in str(getattr(r, "fields", "")) for r in caplog.records)
        down = await c.post("/v1/query", json={"query": "down", "collection": "notes"})
        assert (down.status_code, down.headers["retry-after"]) == (503, "7")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"query": "a", "collection": "notes", "filter": {"project": 3}}, "/filter/project"),
        ({"query": "a", "collection": "notes", "filter": {"x": 3}}, "/filter/x"),
        ({"query": "a"}, "/collection"),
        ({"query": "a", "collection": "notes", "limit": 0}, "/limit"),
        ({"query": "a\0", "collection": "notes"}, "/query"),
        (
            {"query": "a", "collection": "notes", "filter": {"metadata": {"k": [1, 2.5]}}},
            "/filter/metadata",
        ),
        ([], ""),
    ],
)
async def test_pointers(body: Any, pointer: str) -> None:
    async with client() as c:
        answer = await c.post("/v1/query", json=body)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["pointer"] == pointer


async def test_a_path_with_a_number_of_thousands_of_digits_is_not_found() -> None:
    async with client() as c:
        assert (await c.get("/v1/issues/" + "9" * 5000)).status_code == 404
        # As for any other path of the console, whoever is not signed in.
        assert (await c.get("/console/issues/" + "9" * 5000)).status_code == 303


async def test_what_has_no_route_has_no_method_of_the_client_in_the_metrics() -> None:
    stack = fake_stack()
    async with client(stack=stack) as c:
        for status, path in ((303, "/console/nowhere"), (404, "/nowhere")):
            assert (await c.get(path)).status_code == status
    told = stack.metrics.registry
    for status in ("303", "404"):
        labels = {"method": "-", "route": "-", "status": status}
        assert told.get_sample_value("aidb_http_requests_total", labels) == 1


async def test_query_parameters() -> None:
    async with client() as c:
        assert (await c.get(DOCS, params={"limit": "7"})).status_code == 200
        for query in ("limit=x", "nope=1", "limit=1&limit=2", "project=%00", "under="):
            answer = await c.get(f"{DOCS}?{query}")
            assert answer.status_code == 400, query
            assert answer.json()["errors"][0]["pointer"] == "/" + query.partition("=")[0]
        assert (await c.get("/v1/collections/BAD%00/documents")).status_code == 404


async def test_content_type_and_broken_json() -> None:
    async with client() as c:
        form = await c.post("/v1/query", content=b"{}", headers={"Content-Type": "text/plain"})
        assert (form.status_code, form.json()["type"][-22:]) == (415, "unsupported-media-type")
        for broken in (b"{", b'"\xff"', b"[" * 3000):
            answer = await c.post(
                "/v1/query", content=broken, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 400, broken[:5]


async def test_body_limit() -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 1000

    async with client() as c:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        for path in ("/v1/query", "/mcp"):
            for content in (b" " * 5000, stream()):
                answer = await c.post(path, content=content, headers=headers)
                assert (answer.status_code, answer.json()["status"]) == (413, 413)


async def test_documents_and_etags() -> None:
    async with client() as c:
        made = await c.put(DOCS, json={"path": "a.md", "content": "one"})
        assert made.status_code == 201
        tag, where = made.headers["etag"], made.headers["location"]
        got = await c.get(where)
        assert (got.json()["content"], got.headers["etag"]) == ("one", tag)
        same = await c.get(where, headers={"If-None-Match": f'"x", W/{tag}'})
        assert (same.status_code, same.content) == (304, b"")
        again = await c.put(
            DOCS,
            json={"path": "a.md", "content_base64": base64.b64encode(b"two").decode()},
            headers={"If-Match": tag},
        )
        assert (again.status_code, again.headers["etag"] != tag) == (200, True)
        for header in ({"If-Match": tag}, {"If-None-Match": "*"}, {"If-Match": "W/" + tag}):
            stale = await c.put(DOCS, json={"path": "a.md", "content": "x"}, headers=header)
            assert (stale.status_code, stale.json()["status"]) == (412, 412)
        for header in ({"If-Match": "bare"}, {"If-None-Match": tag}):
            bad = await c.put(DOCS, json={"path": "a.md", "content": "x"}, headers=header)
            assert bad.status_code == 400
        for path, given, status in (("a.md", "*", 200), ("new.md", "*", 412), ("a.md", '"*"', 412)):
            body = {"path": path, "content": "any revision"}
            answer = await c.put(DOCS, json=body, headers={"If-Match": given})
            assert answer.status_code == status, (path, given)
        assert (await c.put(DOCS, json={"path": "a.md"})).status_code == 400
        assert (await c.delete(DOCS, params={"project": "default"})).json() == {"deleted": 1}
        gone = await c.delete(where)
        assert (gone.status_code, gone.content) == (204, b"")
        assert (await c.get(where)).status_code == 404


async def test_a_key_can_have_all_scopes() -> None:
    async with client() as c:
        made = await c.post("/v1/keys", json={"name": "all", "scopes": SCOPES})
        assert made.status_code == 201


async def test_keys_and_health() -> None:
    stack = fake_stack()
    async with client(stack=stack) as c:
        made = await c.post("/v1/keys", json={"name": "ci", "scopes": ["read"]})
        assert (made.status_code, made.json()["key"]) == (201, "secret")
        assert (await c.get("/health/ready")).json() == {"status": "degraded"}
        assert (await c.get("/health/startup")).status_code == 200
        assert (await c.get("/health/detailed")).json()["checks"]["postgres"]["status"] == "pass"
        stack.health.status = "unavailable"
        for path in ("/health/ready", "/health/startup"):
            down = await c.get(path)
            assert (down.status_code, down.json()) == (503, {"status": "unavailable"})
            assert down.headers["Retry-After"] == "2"
        assert (await c.get("/health/live")).status_code == 200


async def test_openapi_and_docs_page() -> None:
    async with client() as c:
        document = (await c.get("/openapi.json")).json()
        found = refs(document)
        assert len(found) > 20
        for ref in found:
            resolve(document, ref)
        for schema in document["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)
        operations = [o for path in document["paths"].values() for o in path.values()]
        assert len({o["operationId"] for o in operations}) == len(all_endpoints())
        page = await c.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "style-src" in page.headers["content-security-policy"]
        assert "/v1/query" in page.text
        assert "<script" not in page.text
