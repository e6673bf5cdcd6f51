"""Looks for the documents of load.py: BASE KEY_FILE, their paths on standard input, one a line.

Prints those that are not there, or that a search for their word does not find, as a JSON array.
"""

import asyncio
import json
import sys
from pathlib import Path

import httpx

COLLECTION = "nixos_docs"
AT_ONCE = 8


async def missing(client: httpx.AsyncClient, path: str, turn: asyncio.Semaphore) -> str | None:
    """The path, if its document cannot be found."""
    question = {"query": Path(path).stem, "collection": COLLECTION, "limit": 1}
    async with turn:
        answer = await client.post("/v1/query", json=question)
        answer.raise_for_status()
        hits = answer.json()["hits"]
        if not hits or hits[0]["path"] != path:
            return path
        document = await client.get(f"/v1/documents/{hits[0]['document_id']}")
        return path if Path(path).stem not in document.text else None


async def main(base: str, key_file: str) -> None:
    """All of them, a few at once."""
    headers = {"Authorization": f"Bearer {Path(key_file).read_text().strip()}"}
    turn = asyncio.Semaphore(AT_ONCE)
    # A test's own certificate.
    async with httpx.AsyncClient(
        base_url=base, headers=headers, verify=False, timeout=60
    ) as client:
        found = await asyncio.gather(
            *(missing(client, line.strip(), turn) for line in sys.stdin if line.strip())
        )
    print(json.dumps([path for path in found if path]))


asyncio.run(main(*sys.argv[1:]))
