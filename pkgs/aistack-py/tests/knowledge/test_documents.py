import asyncio
import threading
from uuid import uuid4

import pytest
from msgspec import structs

from aistack.access.model import LOCAL_OPERATOR, Principal
from aistack.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    PreconditionError,
    TooLargeError,
)
from aistack.knowledge.collections import Collections
from aistack.knowledge.documents import etag
from aistack.knowledge.extract import pdf
from aistack.knowledge.extract.result import Reading
from aistack.knowledge.model import NewDocument, Query
from aistack.settings.schema import Limits, Settings
from aistack.wiring import Stack, open_stack

pytestmark = pytest.mark.anyio

READER = Principal("r", "reader", frozenset({"read"}))
NARROW = Principal("n", "narrow", frozenset({"admin"}), frozenset({"tool_schemas"}))


def new(path: str = "a.md", text: str = "# Title\n\nSome text.", **more: object) -> NewDocument:
    return NewDocument(path=path, source=text.encode(), **more)  # type: ignore[arg-type]  # fields


async def test_a_document_is_created_once_then_updated_only_when_it_changes(stack: Stack) -> None:
    first = await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new())
    again = await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new())
    other = await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new(text="# Title\n\nNew."))
    assert [first.outcome, again.outcome, other.outcome] == ["created", "unchanged", "updated"]
    assert [first.document.revision, again.document.revision, other.document.revision] == [1, 1, 2]
    assert first.document.id == other.document.id
    found = await stack.documents.get(LOCAL_OPERATOR, first.document.id)
    assert "New." in found.content


async def test_changed_metadata_is_a_change(stack: Stack) -> None:
    await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new(metadata={"lang": "en"}))
    again = await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new(metadata={"lang": "de"}))
    assert again.outcome == "updated"


async def test_one_and_true_are_two_values(stack: Stack) -> None:
    for value in (True, 1, "1"):
        put = await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new(metadata={"n": value}))
        assert put.outcome != "unchanged"
        assert put.document.metadata["n"] is value


async def test_conditions_guard_against_lost_updates(stack: Stack) -> None:
    put = stack.documents.put
    made = (await put(LOCAL_OPERATOR, "nixos_docs", new(), if_none_match=True)).document
    with pytest.raises(PreconditionError):
        await put(LOCAL_OPERATOR, "nixos_docs", new(), if_none_match=True)
    with pytest.raises(PreconditionError):
        await put(LOCAL_OPERATOR, "nixos_docs", new(text="b"), if_match=f"{uuid4().hex}-1")
    await put(LOCAL_OPERATOR, "nixos_docs", new(text="b"), if_match=etag(made))
    with pytest.raises(PreconditionError):
        await stack.documents.delete(LOCAL_OPERATOR, made.id, if_match=etag(made))
    assert (
        await put(LOCAL_OPERATOR, "nixos_docs", new(text="c"), if_match="*")
    ).outcome == "updated"
    await stack.documents.delete(LOCAL_OPERATOR, made.id, if_match="*")
    with pytest.raises(PreconditionError):
        await put(LOCAL_OPERATOR, "nixos_docs", new(), if_match="*")


@pytest.mark.parametrize(
    "bad", [new(text=""), new(text=" \n"), new(path="x\x00"), new(text="nul\x00byte")]
)
async def test_unusable_documents_are_refused(stack: Stack, bad: NewDocument) -> None:
    with pytest.raises(InvalidError):
        await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", bad)


async def test_the_size_is_counted_in_bytes(stack: Stack) -> None:
    size = stack.settings.limits.document_bytes
    with pytest.raises(TooLargeError, match=r"limits\.document_bytes"):
        await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new(text="é" * (size // 2 + 1)))


async def test_the_text_that_a_document_unpacks_to_has_a_bound(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(pdf, "read", lambda _, most: asked.append(most) or Reading("", "x" * 8193))
    settings = structs.replace(settings, limits=Limits(document_bytes=1024))
    async with open_stack(settings, index=False) as stack:
        with pytest.raises(TooLargeError, match="more than 8192 bytes of text") as caught:
            await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new(path="a.pdf"))
    assert asked == [8192]
    assert caught.value.pointer == "/content"


async def test_what_takes_long_to_read_leaves_threads_to_the_rest(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough, reading = threading.Event(), threading.Semaphore(0)

    def slow(_source: bytes, _most: int) -> Reading:
        reading.release()
        assert enough.wait(60)
        return Reading("", "text")

    monkeypatch.setattr(pdf, "read", slow)
    put = stack.documents.put
    try:
        async with asyncio.TaskGroup() as tasks:
            for number in range(40):
                made = put(LOCAL_OPERATOR, "nixos_docs", new(path=f"{number}.pdf"))
                tasks.create_task(made)
            await put(LOCAL_OPERATOR, "nixos_docs", new(path="a.md"))
            assert [reading.acquire(timeout=20) for _ in range(2)] == [True, True]
            assert not reading.acquire(blocking=False)
            enough.set()
    finally:
        enough.set()


async def test_scopes_and_collections_bound_what_a_key_can_do(stack: Stack) -> None:
    made = (await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new())).document
    with pytest.raises(ForbiddenError):
        await stack.documents.put(READER, "nixos_docs", new())
    for call in (
        stack.documents.get(NARROW, made.id),
        stack.documents.delete(NARROW, made.id),
        stack.documents.list(NARROW, "nixos_docs"),
        stack.documents.put(NARROW, "nixos_docs", new()),
        stack.collections.get(NARROW, "nixos_docs"),
        stack.search.search(NARROW, Query(query="text", collection="nixos_docs")),
    ):
        with pytest.raises(NotFoundError):
            await call
    assert [c.name for c in await stack.collections.list(NARROW)] == ["tool_schemas"]


async def test_listing_walks_all_documents_once(stack: Stack) -> None:
    for number in range(7):
        await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new(f"docs/{number}.md"))
    await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new("docs2/x.md", project="p"))
    seen, cursor = [], None
    while True:
        page = await stack.documents.list(
            LOCAL_OPERATOR, "nixos_docs", under="docs", limit=3, cursor=cursor
        )
        seen += [d.path for d in page.documents]
        assert page.total == 7
        cursor = page.next_cursor
        assert page.has_more == (cursor is not None)
        if cursor is None:
            break
    assert seen == [f"docs/{n}.md" for n in range(7)]
    with pytest.raises(InvalidError):
        await stack.documents.list(LOCAL_OPERATOR, "nixos_docs", cursor="forged")


async def test_a_project_is_deleted_alone(stack: Stack) -> None:
    await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new("a.md", project="one"))
    await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new("a.md", project="two"))
    assert await stack.documents.delete_project(LOCAL_OPERATOR, "nixos_docs", "one") == 1
    left = await stack.documents.list(LOCAL_OPERATOR, "nixos_docs")
    assert [d.project for d in left.documents] == ["two"]


async def test_the_six_collections_exist_and_declared_ones_cannot_be_deleted(stack: Stack) -> None:
    names = {c.name for c in await stack.collections.list(LOCAL_OPERATOR)}
    assert names == {
        "nixos_docs", "solved_issues", "skill_embeddings", "telemetry_patterns",
        "system_registry", "tool_schemas",
    }  # fmt: skip
    with pytest.raises(ConflictError):
        await stack.collections.delete(LOCAL_OPERATOR, "nixos_docs")
    await stack.collections.create(LOCAL_OPERATOR, "mine", "of my own")
    with pytest.raises(ConflictError):
        await stack.collections.create(LOCAL_OPERATOR, "mine")
    await stack.documents.put(LOCAL_OPERATOR, "mine", new())
    await stack.collections.delete(LOCAL_OPERATOR, "mine")
    with pytest.raises(NotFoundError):
        await stack.collections.get(LOCAL_OPERATOR, "mine")


async def test_collections_are_counted_once_for_all_who_ask(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    count = Collections._count

    async def noted(self: Collections, name: str | None) -> dict[str, dict[str, int]]:
        counted.append(name)
        return await count(self, name)

    monkeypatch.setattr(Collections, "_count", noted)
    monkeypatch.setattr("aistack.knowledge.collections._COUNTED_S", 60.0)
    await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new())
    many = await asyncio.gather(*[stack.collections.list(LOCAL_OPERATOR) for _ in range(20)])
    assert counted == [None]
    shown = [{c.name: (c.documents, c.chunks, c.pending) for c in found} for found in many]
    assert {found["nixos_docs"] for found in shown} == {(1, 1, 1)}
    assert (await stack.collections.get(LOCAL_OPERATOR, "nixos_docs")).documents == 1
    await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new("b.md"))
    for _ in range(3):
        one = await stack.collections.get(LOCAL_OPERATOR, "nixos_docs")
        assert (one.documents, one.chunks, one.pending) == (1, 1, 2), "what waits is as it is now"
    assert counted == [None, "nixos_docs"]


async def test_the_counts_of_a_collection_end_with_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aistack.knowledge.collections._COUNTED_S", 60.0)

    async def shown() -> dict[str, int]:
        return {c.name: c.documents for c in await stack.collections.list(LOCAL_OPERATOR)}

    await stack.collections.create(LOCAL_OPERATOR, "mine")
    await stack.documents.put(LOCAL_OPERATOR, "mine", new())
    assert (await shown())["mine"] == 1
    assert (await stack.collections.get(LOCAL_OPERATOR, "mine")).documents == 1
    await stack.collections.delete(LOCAL_OPERATOR, "mine")
    assert "mine" not in await shown()
    await stack.collections.create(LOCAL_OPERATOR, "mine")
    assert (await shown())["mine"] == 0
    assert (await stack.collections.get(LOCAL_OPERATOR, "mine")).documents == 0


async def test_a_listing_waits_for_nobody_who_has_the_collection_alone(stack: Stack) -> None:
    await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new())
    async with stack.postgres.transaction() as conn:
        await conn.execute("select from collections where name = 'nixos_docs' for update")
        async with asyncio.timeout(5):
            page = await stack.documents.list(LOCAL_OPERATOR, "nixos_docs")
    assert (page.total, [item.path for item in page.documents]) == (1, ["a.md"])


async def test_a_listing_of_an_empty_collection_is_none_of_a_missing_one(stack: Stack) -> None:
    page = await stack.documents.list(LOCAL_OPERATOR, "nixos_docs")
    assert (page.total, page.documents) == (0, [])
    with pytest.raises(NotFoundError, match="no such collection"):
        await stack.documents.list(LOCAL_OPERATOR, "nowhere")
