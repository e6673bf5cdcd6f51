"""A page costs the same however much lies in the tables: no plan sorts them for it."""

from typing import Any
from uuid import UUID

import pytest
from plans import rows_read

from aistack.coordinator.model import COLLECTION
from aistack.stores.sqlfile import load_queries
from aistack.wiring import Stack

pytestmark = pytest.mark.anyio

QUERIES = load_queries("aistack.gc", "gc.sql")
STORED = 8000
LIMIT = 100
MIDDLE = UUID("80000000-0000-0000-0000-000000000000")
FILL = f"""
with made as (
    insert into documents (collection, project, path, title, content_type, checksum, size_bytes,
                           content, indexed_revision, updated_at)
    select '{COLLECTION}', 'learned', n || '.md', 'title', 'text/markdown', '0', 1, 'text', 1,
           now() - interval '1 day'
    from generate_series(1, {STORED}) n
    returning id
)
insert into solutions (question, answer, value, parts, successes, document_id, vector_model,
                       question_vector, answer_vector, created_at)
select id::text, id::text, random(), '{{}}', 1, id, 'toy', '\\x00000000', '\\x00000000',
       now() - interval '1 day' * random()
from made
"""  # noqa: S608 - ours
PAGES: dict[str, dict[str, Any]] = {
    "sketched": {"model": "toy", "bytes": 4, "since": None, "after": MIDDLE, "limit": LIMIT},
    "indexed_documents": {
        "collection": COLLECTION, "generation": 1, "before": "now", "after": MIDDLE,
        "limit": LIMIT,
    },
    "ranked": {
        "value_below": 0.9, "idle_since": "now", "learned_before": None, "after_value": 0.4,
        "after_used": "-infinity", "after_id": MIDDLE, "limit": LIMIT,
    },
}  # fmt: skip


async def test_a_page_reads_about_as_many_rows_as_it_has(stack: Stack) -> None:
    async with stack.postgres.transaction(whole=True) as conn:
        await conn.execute(
            "insert into collections (name) values (%s) on conflict do nothing", (COLLECTION,)
        )
        await conn.execute(FILL.encode())
        await conn.execute("analyze solutions, documents, chunks, outbox")
        for name, values in PAGES.items():
            query = "explain (analyze, format json) " + QUERIES[name]
            (row,) = await (await conn.execute(query.encode(), values)).fetchall()
            assert rows_read(row["QUERY PLAN"][0]["Plan"]) <= 4 * LIMIT, name
