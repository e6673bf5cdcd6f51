"""At the end: everything that was acknowledged is there, and nothing that was not."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from client import Client
from load import COLLECTION, PROJECT
from model import Document, Lesson, Model, checksum, token_of
from shell import sql
from watch import issues

LEARNED = "solved_issues"
AT_ONCE = 8
T = TypeVar("T")


async def each(things: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do the work for each, some of them at once."""
    left = iter(things)

    async def worker() -> None:
        for thing in left:
            await work(thing)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


async def eventually(
    what: str, of: Callable[[], Awaitable[Any]], model: Model, seconds: float = 60
) -> float:
    """Wait until a list is empty; what it still holds after so long is wrong.

    Returns:
        How long that took, in seconds.
    """
    start = time.monotonic()
    while left := await of():
        if time.monotonic() - start > seconds:
            model.wrong(f"{what}: after {seconds:.0f} s {str(left)[:1500]}")
            break
        await asyncio.sleep(0.5)
    return time.monotonic() - start


@dataclass(frozen=True)
class Stores:
    """How Qdrant is asked directly."""

    qdrant: str
    key_file: str

    def index(self) -> httpx.AsyncClient:
        """A client of it."""
        key = Path(self.key_file).read_text().strip()
        return httpx.AsyncClient(base_url=self.qdrant, headers={"api-key": key})


async def judge(client: Client, model: Model, stores: Stores) -> None:
    """Compare what there is with the model."""
    await eventually("not indexed", lambda: _pending(client), model)
    await _documents(client, model)
    await _search(client, model)
    await _lessons(client, model)
    await eventually("reports", lambda: _reports(model), model)
    await _points(model, stores)


async def _pending(client: Client) -> list[str]:
    got = await client.ask("GET", "/v1/collections")
    if not got.ok:
        return [f"collections: {got}"]
    return [f"{one['name']}: {one['pending']}" for one in got.body["collections"] if one["pending"]]


async def _documents(client: Client, model: Model) -> None:
    """By the list, and each by its id."""
    stored: dict[str, dict[str, Any]] = {}
    cursor = ""
    while True:
        path = f"/v1/collections/{COLLECTION}/documents?project={PROJECT}&limit=100{cursor}"
        page = (await client.ask("GET", path)).body
        stored.update({one["path"]: one for one in page["documents"]})
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"

    async def look(document: Document) -> None:
        found = stored.pop(document.path, None)
        may = {checksum(text) if text is not None else None for text in document.may}
        if (found and found["checksum"]) not in may:
            model.wrong(f"{document.path} is {_what(found)}; it may be {_words(document)}")
        elif found is not None:
            got = await client.ask("GET", f"/v1/documents/{found['id']}")
            if not got.ok or got.body["checksum"] not in may:
                model.wrong(f"{document.path}: listed, and read as {got}")

    await each(model.documents, look)
    if stored:
        model.wrong(f"documents that nobody wrote: {sorted(stored)}")


def _what(found: dict[str, Any] | None) -> str:
    return f"there ({found['checksum'][:8]}, {found['updated_at']})" if found else "not there"


def _words(document: Document) -> str:
    return " or ".join(checksum(text)[:8] if text else "gone" for text in document.may)


async def _search(client: Client, model: Model) -> None:
    """What is there is found; what is gone is not."""

    async def look(document: Document) -> None:
        wanted = [(token, False) for token in document.gone[-1:]]
        if document.text is not None:
            wanted.append((token_of(document.text), True))
        for token, there in wanted:
            query = {"query": token, "collection": COLLECTION}
            found = (await client.ask("POST", "/v1/query", query)).body["hits"]
            if there != any(hit["path"] == document.path for hit in found):
                word = "not found" if there else "found though it is gone"
                model.wrong(f"{document.path} by {token}: {word}")

    await each((one for one in model.documents if one.settled), look)


async def _lessons(client: Client, model: Model) -> None:
    """Each acknowledged interaction, recorded once, and what was learned from it."""
    rows = await sql("select idempotency_key, count(*) from interactions group by 1")
    counts = {key: int(count) for key, count in rows}

    async def look(lesson: Lesson) -> None:
        times = counts.pop(lesson.key, 0)
        if times > 1 or (lesson.id is not None and times != 1):
            model.wrong(f"interaction {lesson.key} is there {times} times")
        if lesson.id is None:
            return
        got = await client.ask("GET", f"/coordinator/v1/interactions/{lesson.id}")
        if not got.ok or got.body["response"] != lesson.response:
            model.wrong(f"interaction {lesson.id}: {got}")
        query = {"query": lesson.token, "collection": LEARNED}
        found = (await client.ask("POST", "/v1/query", query)).body["hits"]
        if not any(lesson.token in hit["text"] for hit in found):
            model.wrong(f"what was learned of {lesson.token} is not found")

    await each(model.lessons, look)
    if counts:
        model.wrong(f"interactions that nobody recorded: {counts}")


async def _reports(model: Model) -> list[str]:
    """Each acknowledged report is counted once; one of unknown outcome once or not at all."""
    counts = {issue["title"]: issue["count"] for issue in await issues()}
    wrong = []
    for report in model.reports:
        count = counts.get(f"reported by {report.fingerprint}", 0)
        if not report.acknowledged <= count <= report.acknowledged + report.unknown:
            told = f"{report.acknowledged} acknowledged, {report.unknown} unknown"
            wrong.append(f"{report.fingerprint}: counted {count}, {told}")
    return wrong


async def _points(model: Model, stores: Stores) -> None:
    """Each passage has its point, and each point its passage, by a look at both stores."""
    generations = await sql("select index_name, collection from generations where state = 'live'")
    async with stores.index() as http:
        names = (await http.get("/collections")).json()["result"]["collections"]
        known = {index for index, _ in generations}
        for name in {one["name"] for one in names} - known:
            model.wrong(f"Qdrant has a collection {name} that no generation names")
        for index, collection in generations:
            points = await _ids(http, index)
            rows = await sql(
                "select c.id from chunks c join documents d on d.id = c.document_id"
                f" where d.collection = '{collection}'"
            )
            passages = {row[0] for row in rows}
            if points - passages:
                model.wrong(f"{collection}: {len(points - passages)} points have no passage")
            if passages - points:
                model.wrong(f"{collection}: {len(passages - points)} passages have no point")


async def _ids(http: httpx.AsyncClient, index: str) -> set[str]:
    ids: set[str] = set()
    offset = None
    while True:
        wanted = {"limit": 1000, "offset": offset, "with_payload": False, "with_vector": False}
        got = await http.post(f"/collections/{index}/points/scroll", json=wanted)
        page = got.json()["result"]
        ids.update(str(point["id"]) for point in page["points"])
        offset = page["next_page_offset"]
        if offset is None:
            return ids
