"""Workers that write, read and search all the while, over HTTP and MCP."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from client import Answer, Client
from model import (
    WORDS,
    Document,
    Lesson,
    Model,
    Reports,
    checksum,
    document_text,
    token,
    token_of,
)

COLLECTION = "nixos_docs"
PROJECT = "fault"
AT = f"/v1/collections/{COLLECTION}/documents"
PAUSE_S = 0.2


@dataclass
class Load:
    """All workers; `stop` ends them."""

    client: Client
    model: Model
    seed: int
    stop: asyncio.Event

    async def run(self) -> None:
        """Work until it is told to stop."""
        workers = [
            *(self._documents("http", number) for number in range(4)),
            *(self._documents("mcp", number) for number in range(2)),
            self._lessons("http"),
            self._lessons("mcp"),
            self._reports(),
        ]
        await asyncio.gather(*workers)

    async def _again(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self.stop.is_set():
            await work()
            await asyncio.sleep(PAUSE_S)

    # Documents

    async def _documents(self, way: str, number: int) -> None:
        """Write new ones, change, delete, read and search them."""
        chance = random.Random(f"{self.seed} {way} {number}")  # noqa: S311 - repeatable
        own: list[Document] = []
        ask = _Http(self.client) if way == "http" else _Mcp(self.client)

        async def work() -> None:
            known = [one for one in own if one.settled]
            there = [one for one in known if one.text is not None]
            what = chance.choices(
                ("create", "update", "delete", "read", "search"), (3, 3, 1, 3, 3)
            )[0]
            if what == "create" or not there:
                document = Document(f"{way}-{number}/{len(own)}.md", way)
                own.append(document)
                self.model.documents.append(document)
                await self._write(ask, document, document_text(document.path, chance))
            elif what == "update":
                document = chance.choice(there)
                await self._write(ask, document, document_text(document.path, chance))
            elif what == "delete":
                await self._delete(ask, chance.choice(there))
            elif what == "read":
                await self._read(ask, chance.choice(known))
            else:
                await self._search(ask, chance.choice(known))

        await self._again(work)

    async def _write(self, ask: "_Http | _Mcp", document: Document, text: str) -> None:
        document.tries(text)
        got = await ask.put(document.path, text)
        if not got.ok:
            return
        told = got.body["document"]
        if told["checksum"] != checksum(text):
            self.model.wrong(f"{document.path}: another checksum than that of what was written")
        document.id = told["id"]
        document.acknowledged()

    async def _delete(self, ask: "_Http | _Mcp", document: Document) -> None:
        document.tries(None)
        if (await ask.delete(str(document.id))).ok:
            document.acknowledged()

    async def _read(self, ask: "_Http | _Mcp", document: Document) -> None:
        if document.id is None:
            return
        got = await ask.get(document.id)
        if got.status == 404:  # noqa: PLR2004 - Not Found
            if document.text is not None:
                self.model.wrong(f"{document.path}: acknowledged, and not found")
        elif got.ok:
            if document.text is None:
                self.model.wrong(f"{document.path}: deleted, and still served")
            elif got.body["checksum"] != checksum(document.text):
                self.model.wrong(f"{document.path}: another text than was acknowledged last")

    async def _search(self, ask: "_Http | _Mcp", document: Document) -> None:
        """Not found yet is right, for the index follows; what is gone is never found."""
        text = document.text
        wanted = token_of(text) if text is not None else document.gone[-1] if document.gone else ""
        if not wanted:
            return
        got = await ask.search(wanted)
        if not got.ok:
            return
        for hit in got.body["hits"]:
            if wanted not in hit["text"]:
                self.model.wrong(f"a search for {wanted} found {hit['path']}, which lacks it")
            elif hit["path"] != document.path or text is None:
                self.model.wrong(f"a search for {wanted} found {hit['path']}, where it is not")

    # The coordinator

    async def _lessons(self, way: str) -> None:
        """Record interactions; one that is not acknowledged is sent again, as its key allows."""
        chance = random.Random(f"{self.seed} lessons {way}")  # noqa: S311
        open_ones: list[Lesson] = []

        async def work() -> None:
            if not open_ones:
                lesson = _lesson(way, chance)
                self.model.lessons.append(lesson)
                open_ones.append(lesson)
            lesson = open_ones[0]
            body = {
                "question": lesson.question,
                "response": lesson.response,
                "outcome": "success",
                "idempotency_key": lesson.key,
            }
            if way == "http":
                got = await self.client.ask("POST", "/coordinator/v1/interactions", body)
            else:
                got = await self.client.call("record_interaction", body, at="/coordinator")
            if got.ok:
                lesson.id = got.body["id"]
                open_ones.clear()
            else:
                await asyncio.sleep(0.5)

        await self._again(work)

    # The issue tracker

    async def _reports(self) -> None:
        self.model.reports.extend(Reports(f"fault check {number}") for number in range(5))
        chance = random.Random(f"{self.seed} reports")  # noqa: S311

        async def work() -> None:
            report = chance.choice(self.model.reports)
            body = {
                "message": f"reported by {report.fingerprint}",
                "component": "fault-check",
                "severity": "info",
                "fingerprint": report.fingerprint,
            }
            if (await self.client.ask("POST", "/v1/issues", body)).ok:
                report.acknowledged += 1
            else:
                report.unknown += 1

        await self._again(work)


def _lesson(way: str, chance: random.Random) -> Lesson:
    own = token()
    question = f"how is {own} mended with {' '.join(chance.choices(WORDS, k=6))}"
    response = f"{own}: " + " ".join(chance.choices(WORDS, k=30))
    return Lesson(str(uuid4()), own, question, response, way)


@dataclass
class _Http:
    client: Client

    async def put(self, path: str, text: str) -> Answer:
        body = {"path": path, "project": PROJECT, "content": text}
        return await self.client.ask("PUT", AT, body)

    async def delete(self, number: str) -> Answer:
        return await self.client.ask("DELETE", f"/v1/documents/{number}")

    async def get(self, number: str) -> Answer:
        return await self.client.ask("GET", f"/v1/documents/{number}", also=(404,))

    async def search(self, words: str) -> Answer:
        return await self.client.ask("POST", "/v1/query", _query(words))


@dataclass
class _Mcp:
    client: Client

    async def put(self, path: str, text: str) -> Answer:
        body = {"collection": COLLECTION, "path": path, "project": PROJECT, "content": text}
        return await self.client.call("put_document", body)

    async def delete(self, number: str) -> Answer:
        return await self.client.call("delete_document", {"id": number})

    async def get(self, number: str) -> Answer:
        # A tool has no statuses to tell "not found" by, so reads go over HTTP.
        return await self.client.ask("GET", f"/v1/documents/{number}", also=(404,))

    async def search(self, words: str) -> Answer:
        return await self.client.call("search", _query(words))


def _query(words: str) -> dict[str, Any]:
    return {"query": words, "collection": COLLECTION, "filter": {"project": PROJECT}, "limit": 20}
