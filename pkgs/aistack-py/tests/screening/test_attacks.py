"""Attacks through the whole app, on a real PostgreSQL: text stays data, wherever it is put."""

from __future__ import annotations

import io
import json
import logging
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
from msgspec import structs
from psycopg import sql
from psycopg.rows import dict_row
from samples import attacks, secrets

from aistack.api.app import create_app
from aistack.kit.logs import JsonFormatter
from aistack.settings.schema import Screening, Settings, Validation
from aistack.wiring import Stack, open_stack

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.repeats,
    pytest.mark.usefixtures("no_files"),
]
ATTACKS = [a["text"] for a in attacks()]
DOCS = "/v1/collections/nixos_docs/documents"
JSON_TYPES = ("application/json", "application/problem+json")


@dataclass
class Target:
    """The app under attack, and what was seen of it."""

    http: httpx.AsyncClient
    stack: Stack
    dsn: str
    log: io.StringIO
    tables: frozenset[str] = frozenset()
    statuses: dict[int, int] = field(default_factory=dict)
    stored: dict[tuple[str, str], str] = field(default_factory=dict)
    """(project, path) to the text that was accepted."""

    async def send(
        self, method: str, url: str, body: Any = None, *, raw: bytes | None = None,
        headers: dict[Any, Any] | None = None,
    ) -> httpx.Response:  # fmt: skip
        """One request; every answer must be sound, whatever it says."""
        content = raw
        given: dict[Any, Any] = dict(headers or {})
        if body is not None:
            content = json.dumps(body).encode()  # lone surrogates become escapes
        if content is not None:
            given = {"Content-Type": "application/json"} | given
        answer = await self.http.request(method, url, content=content, headers=given)
        self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
        about = (method, url[:100], str(body)[:200], answer.status_code, answer.text[:300])
        assert answer.status_code < 500, about
        assert answer.headers["x-content-type-options"] == "nosniff", about
        for name, value in answer.headers.raw:
            assert all(32 <= byte < 127 for byte in name + value), about
        if answer.content:
            kind = answer.headers["content-type"]
            assert kind.startswith(JSON_TYPES), about
            answer.json()
            assert not any(ord(c) < 32 for c in answer.text), about
        return answer

    def rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.dsn, row_factory=dict_row) as conn:
            return conn.execute(query.encode()).fetchall()

    def table_names(self) -> frozenset[str]:
        names = self.rows("select tablename from pg_tables where schemaname = 'public'")
        return frozenset(row["tablename"] for row in names)

    def counts(self) -> dict[str, int]:
        with psycopg.connect(self.dsn) as conn:
            statement = sql.SQL(" union all ").join(
                sql.SQL("select {}, count(*) from {}").format(sql.Literal(t), sql.Identifier(t))
                for t in sorted(self.tables)
            )
            return dict(conn.execute(statement).fetchall())

    def check_stored(self) -> None:
        """The tables hold what was legally stored, text for text, and nothing else."""
        found = self.rows("select project, path, content from documents")
        assert {(r["project"], r["path"]): r["content"] for r in found} == self.stored
        assert self.table_names() == self.tables
        assert [r["name"] for r in self.rows("select name from api_keys")] == ["attacker"]
        supers = "select rolname from pg_roles where rolsuper and rolname not like 'pg\\_%'"
        assert len(self.rows(supers)) == 1

    def check_log(self) -> None:
        """One valid JSON object a line, without raw control characters."""
        lines = self.log.getvalue().split("\n")
        assert lines.pop() == ""
        assert lines
        for line in lines:
            assert isinstance(json.loads(line), dict)
            assert not any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in line), line


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the app logs, as it does in JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in ("httpx", "httpcore", "mcp"):  # as `aistack.kit.logs.set_up` has it
        logging.getLogger(name).setLevel(logging.WARNING)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No file appears outside the data folder, here: the index's."""
    here = tmp_path / "a" / "b" / "c"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    yield
    left = [p for p in tmp_path.rglob("*") if not p.is_relative_to(tmp_path / "qdrant")]
    assert sorted(left) == [tmp_path / "a", tmp_path / "a" / "b", here]


@asynccontextmanager
async def target(own: Settings, log: io.StringIO) -> AsyncIterator[Target]:
    async with open_stack(own, index=False) as stack:
        await stack.indexer.drain()
        # More attempts than any limit would let pass.
        many = 10_000_000
        key = await stack.keys.create(
            name="attacker", scopes=["admin"], per_minute=many, per_hour=many
        )
        app = create_app(stack)
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=transport,
                base_url="http://localhost:8091",
                headers={"Authorization": f"Bearer {key.key}"},
            ) as http,
        ):
            attacked = Target(http, stack, own.postgres.dsn, log)
            attacked.tables = attacked.table_names()
            assert {"documents", "chunks", "api_keys"} <= attacked.tables
            page = (await http.get("/docs")).text
            yield attacked
            assert (await http.get("/docs")).text == page
            assert (await http.get("/docs")).headers["content-type"] == "text/html; charset=utf-8"
            assert not any(len(t) > 12 and t in page for t in ATTACKS)
            assert (await http.get("/health/live")).status_code == 200
            attacked.check_stored()
            attacked.check_log()


async def test_as_a_question(settings: Settings, log: io.StringIO) -> None:
    async with target(settings, log) as t:
        await t.send("PUT", DOCS, {"path": "a.txt", "content": "select union script"})
        t.stored["default", "a.txt"] = "select union script"
        await t.stack.indexer.drain()
        before = t.counts()
        for text in ATTACKS:
            asked = await t.send("POST", "/v1/query", {"query": text, "collection": "nixos_docs"})
            assert asked.status_code in (200, 400), text
            for body in (
                {"query": "x", "collection": text},
                {"query": "x", "collection": "nixos_docs", "cursor": text},
                {"query": "x", "collection": "nixos_docs", "mode": text},
                {"query": "x", "collection": "nixos_docs", "filter": {"project": text}},
                {"query": "x", "collection": "nixos_docs", "filter": {"under": text}},
                {"query": "x", "collection": "nixos_docs", "filter": {"content_type": text}},
                {"query": "x", "collection": "nixos_docs", "filter": {"metadata": {text: text}}},
                {"query": "x", "collection": "nixos_docs", "filter": {"metadata": {"k": [text]}}},
                {"query": "x", "collection": "nixos_docs", text: text},
            ):
                await t.send("POST", "/v1/query", body)
        assert t.counts() == before
        assert t.statuses[200] > 500


async def test_as_a_document(settings: Settings, log: io.StringIO) -> None:
    async with target(settings, log) as t:
        for number, text in enumerate(ATTACKS):
            for name, body in (
                ("content", {"path": f"content/{number}.txt", "content": text}),
                ("markdown", {"path": f"markdown/{number}.md", "content": f"# T\n\n{text}"}),
                ("html", {"path": f"html/{number}.html", "content": f"<p>text {text}"}),
                ("title", {"path": f"title/{number}.txt", "content": "x", "title": text}),
                ("path", {"path": text, "content": f"x{number}", "content_type": "text/plain"}),
                ("project", {"path": f"p{number}.txt", "content": "x", "project": text}),
                ("metadata", {"path": f"meta/{number}.txt", "content": "x",
                              "metadata": {"k": text, text: "v"}}),
                ("type", {"path": f"type/{number}", "content": "x", "content_type": text}),
            ):  # fmt: skip
                put = await t.send("PUT", DOCS, body)
                assert put.status_code in (200, 201, 400, 413), (name, text)
                if put.status_code not in (200, 201):
                    continue
                own = (await t.send("GET", f"/v1/documents/{put.json()['document']['id']}")).json()
                nfc = unicodedata.normalize("NFC", text)
                if name == "content":
                    assert own["content"] == nfc.removeprefix("\ufeff").replace("\f", "\n")
                elif name == "title":
                    assert own["title"] == (nfc or "x")
                elif name == "path":
                    assert own["path"] == nfc.strip()
                elif name == "metadata":
                    assert own["metadata"] == {"k": nfc, nfc: "v"}
                t.stored[own["project"], own["path"]] = own["content"]
        assert len(t.stored) > 1000
        listed = 0
        cursor: str | None = ""
        while cursor is not None:
            page = (await t.send("GET", f"{DOCS}?limit=100&cursor={cursor}")).json()
            listed += len(page["documents"])
            cursor = page["next_cursor"]
        assert listed == len(t.stored)


async def test_in_the_url_and_the_headers(settings: Settings, log: io.StringIO) -> None:
    async with target(settings, log) as t:
        before = t.counts()
        for text in ATTACKS:
            raw = text.encode("utf-8", "surrogatepass")
            part = quote(raw, safe="")[:60_000]
            for url in (
                f"/v1/collections/{part}", f"/v1/collections/{part}/documents", f"/{part}",
                f"/v1/documents/{part}", f"{DOCS}?cursor={part}", f"{DOCS}?under={part}",
                f"{DOCS}?project={part}", f"{DOCS}?limit={part}", f"{DOCS}?{part}={part}",
            ):  # fmt: skip
                await t.send("GET", url)
            await t.send("DELETE", f"{DOCS}?project={part}")
            await t.send("DELETE", f"/v1/keys/{part}")
            for name in (
                "If-None-Match",
                "X-Request-Id",
                "User-Agent",
                "X-Forwarded-For",
                "Accept",
            ):
                await t.send("GET", DOCS, headers={name.encode(): raw})
            for name in ("Authorization", "X-API-Key"):
                await t.send("GET", DOCS, headers={name.encode(): b"Bearer " + raw})
            body = {"query": "x", "collection": "nixos_docs"}
            await t.send("POST", "/v1/query", body, headers={b"Content-Type": raw})
            for name in ("If-Match", "If-None-Match"):
                body = {"path": "never.txt", "content": "x"}
                await t.send("PUT", DOCS, body, headers={name.encode(): raw})
            if text.strip() == "*":
                t.stored["default", "never.txt"] = "x"
        assert t.counts() == before


async def test_as_a_name_and_as_the_body(settings: Settings, log: io.StringIO) -> None:
    async with target(settings, log) as t:
        before = t.counts()
        made = 0
        for text in ATTACKS:
            answer = await t.send("POST", "/v1/collections", {"name": text, "description": text})
            made += answer.status_code == 201
            raw = text.encode("utf-8", "surrogatepass")
            await t.send("POST", "/v1/keys", {"name": "", "scopes": [text]})
            await t.send("POST", "/v1/query", raw=raw)
            for field_ in (b"limit", b"min_score", b"offset", b"query"):
                body = b'{"query": "x", "collection": "nixos_docs", "' + field_ + b'": ' + raw
                await t.send("POST", "/v1/query", raw=body + b"}")
            await t.send("PUT", DOCS, raw=b'{"path": "n", "content": ' + raw + b"}")
            await t.send("PUT", DOCS, {"path": "b.bin", "content_base64": text})
        after = t.counts()
        grown = {k: after[k] - before[k] for k in after if after[k] != before[k]}
        assert grown == {"collections": made}


async def test_as_arguments_of_mcp_tools(settings: Settings, log: io.StringIO) -> None:
    accept = {"Accept": "application/json, text/event-stream"}
    async with target(settings, log) as t:

        async def call(tool: Any, arguments: Any) -> dict[str, Any]:
            params = {"name": tool, "arguments": arguments}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            answer: dict[str, Any] = (await t.send("POST", "/mcp", body, headers=accept)).json()
            assert "internal error" not in json.dumps(answer).lower(), (tool, str(arguments)[:99])
            result: dict[str, Any] = answer.get("result", {})
            return result

        for number, text in enumerate(ATTACKS):
            await call("search", {"query": text, "collection": "nixos_docs"})
            await call("search", {"query": "x", "collection": text})
            await call("search", {"query": "x", "collection": "nixos_docs", "cursor": text})
            await call("list_documents", {"collection": "nixos_docs", "under": text})
            await call("get_document", {"id": text})
            await call(text, {text: text})
            own = {"collection": "nixos_docs", "path": f"mcp/{number}.txt", "content": text}
            put = await call("put_document", own | {"title": text, "metadata": {"k": text}})
            if put and not put.get("isError"):
                place = put["structuredContent"]["document"]
                nfc = unicodedata.normalize("NFC", text).removeprefix("\ufeff")
                t.stored["default", place["path"]] = nfc.replace("\f", "\n")
            uri = {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": text}}
            read = await t.send("POST", "/mcp", uri, headers=accept)
            assert "internal error" not in read.text.lower(), text
            raw = text.encode("utf-8", "surrogatepass")
            await t.send("POST", "/mcp", raw=raw, headers=accept)
        assert len(t.stored) > 200


async def test_a_credential_is_refused_and_named_nowhere(
    settings: Settings, log: io.StringIO
) -> None:
    texts = [text for own in secrets().values() for text in own]
    async with target(settings, log) as t:
        for number, secret in enumerate(texts):
            lines = f"line one\n  {secret}\n"
            for body, pointer in (
                ({"content": lines}, "/content"),
                ({"content": "x", "metadata": {"note": secret}}, "/metadata"),
                ({"content": "x", "title": f"a {secret}"}, "/title"),
            ):
                if pointer == "/title" and "\n" in secret:
                    continue
                put = await t.send("PUT", DOCS, {"path": f"{number}.txt", **body})
                assert put.status_code == 422, (pointer, secret[:8])
                problem = put.json()
                assert problem["type"] == "urn:aistack:problem:screened"
                assert problem["errors"][0]["pointer"] == pointer
                assert "credentials" in problem["detail"]
                assert ", column " in problem["detail"]
                assert secret not in put.text
            long = [word for word in secret.replace("/", " ").split() if len(word) >= 12]
            assert not any(word in t.log.getvalue() for word in long)
        metrics = (await t.http.get("/metrics")).text
        assert 'aidb_malicious_patterns_detected_total{kind="credentials"}' in metrics


async def test_refused_questions_are_counted(settings: Settings, log: io.StringIO) -> None:
    strict = Validation(questions=Screening(sql="reject"))
    async with target(structs.replace(settings, validation=strict), log) as t:
        good = {"query": "x", "collection": "nixos_docs"}
        for body, status in (
            (good, 200),
            (good | {"query": "' OR 1=1 --"}, 422),
            (good | {"query": "x" * 20_000}, 413),
            (good | {"query": "a\x1bb"}, 400),
            (good | {"query": "a\x00b"}, 400),
            (good | {"query": "  "}, 400),
            (good | {"cursor": "x"}, 400),
            (good | {"limit": 0}, 400),
        ):
            assert (await t.send("POST", "/v1/query", body)).status_code == status, body
        invalid = b'{"query": "\xff", "collection": "nixos_docs"}'
        assert (await t.send("POST", "/v1/query", raw=invalid)).status_code == 400
        metrics = (await t.http.get("/metrics")).text
        for line in (
            "aidb_query_validation_success_total 1.0",
            'aidb_query_validation_failures_total{reason="screened"} 1.0',
            'aidb_query_validation_failures_total{reason="too_large"} 1.0',
            'aidb_query_validation_failures_total{reason="control_character"} 2.0',
            'aidb_query_validation_failures_total{reason="empty"} 1.0',
            'aidb_query_validation_failures_total{reason="cursor"} 1.0',
            'aidb_query_validation_failures_total{reason="schema"} 1.0',
            'aidb_query_validation_failures_total{reason="encoding"} 1.0',
            "aidb_query_size_bytes_count 6.0",
        ):
            assert line in metrics, line
