"""Text is data: attacks and developers' snippets go through every field without an effect."""

import json
from pathlib import Path

import pytest
from test_coordinator_http import http
from toy import rows

from aistack.wiring import Stack

pytestmark = pytest.mark.anyio

CORPUS = Path(__file__).parents[1] / "corpus"
SAMPLES = [
    json.loads(line)["text"]
    for name in ("attacks.jsonl", "snippets.jsonl")
    for line in (CORPUS / name).read_text("utf-8").removesuffix("\n").split("\n")
][::3]


async def test_hostile_texts_change_nothing_but_their_own_rows(stack: Stack) -> None:
    tables = "select count(*) as n from information_schema.tables where table_schema = 'public'"
    before = await rows(stack, tables)
    await stack.indexer.drain()
    recorded = 0
    async with http(stack) as client:
        # As ASCII, which can hold what UTF-8 cannot.
        client.headers["Content-Type"] = "application/json"
        for number, text in enumerate(SAMPLES):
            body = {
                "question": text, "response": text, "session": text, "agent": text, "model": text,
                "outcome": "success", "idempotency_key": text,
            }  # fmt: skip
            made = await client.post("/v1/interactions", content=json.dumps(body))
            assert made.status_code in (201, 400, 413, 422), (text, made.text)
            if made.status_code == 201:
                recorded += 1
                assert made.json()["solution_id"]
                assert (
                    await client.post("/v1/interactions", content=json.dumps(body))
                ).status_code == 200
            for field in ("question", "session"):
                asked = {"question": "how is it done"} | {field: text}
                found = await client.post("/v1/augment", content=json.dumps(asked))
                assert found.status_code in (200, 400, 413), (text, found.text)
            if number % 20 == 0:
                await stack.indexer.drain()
            text = text.encode(errors="replace").decode()
            for path in ("/v1/solutions", "/v1/training-data"):
                odd = await client.get(path, params={"tag": text, "since": text, "cursor": text})
                assert odd.status_code == 400
        assert (await client.get("/v1/training-data")).text.count("\n") == recorded
    assert recorded > 50
    assert await rows(stack, tables) == before
    assert len(await rows(stack, "select 1 from interactions")) == recorded
