import pytest

from aistack.access.model import LOCAL_OPERATOR, Principal
from aistack.errors import ConflictError, InvalidError, NotFoundError, TooLargeError
from aistack.knowledge.model import Filter, NewDocument, Query, SearchPage
from aistack.wiring import Stack

pytestmark = pytest.mark.anyio

TEXTS = {
    "nginx/limits.md": "# Rate limits\n\nlimit_req_zone bounds the request rate of a client.",
    "nginx/hosts.md": "# Hosts\n\nservices.nginx.virtualHosts declares each host of nginx.",
    "pg/wal.md": "# WAL\n\nwal_level decides how much is written to the write-ahead log.",
}


async def fill(stack: Stack, texts: dict[str, str] | None = None) -> None:
    for path, text in (texts or TEXTS).items():
        lang = "de" if path.startswith("pg") else "en"
        document = NewDocument(
            path=path, source=text.encode(), metadata={"lang": lang}, project=path.split("/")[0]
        )
        await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", document)
    assert await stack.indexer.drain()


async def ask(stack: Stack, text: str, **more: object) -> SearchPage:
    query = Query(query=text, collection="nixos_docs", **more)  # type: ignore[arg-type]  # fields
    return await stack.search.search(LOCAL_OPERATOR, query)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("how do I limit requests per client", "nginx/limits.md"),
        ("services.nginx.virtualHosts", "nginx/hosts.md"),
        ("virtualHosts", "nginx/hosts.md"),
        ("wal_level", "pg/wal.md"),
    ],
)
async def test_the_right_document_comes_first(stack: Stack, text: str, path: str) -> None:
    await fill(stack)
    page = await ask(stack, text)
    assert page.hits[0].path == path
    assert page.mode == "lexical"
    assert page.hits[0].signals.bm25 is not None
    assert 0 < page.hits[0].score <= 1


async def test_filters_hold_together(stack: Stack) -> None:
    await fill(stack)
    by_metadata = await ask(stack, "nginx wal_level", filter=Filter(metadata={"lang": ["de"]}))
    assert {h.path for h in by_metadata.hits} == {"pg/wal.md"}
    by_folder = await ask(stack, "nginx wal_level", filter=Filter(under="nginx"))
    assert {h.path.split("/")[0] for h in by_folder.hits} == {"nginx"}
    assert not (await ask(stack, "nginx", filter=Filter(project="pg"))).hits


async def test_min_score_cuts_and_the_total_says_so(stack: Stack) -> None:
    await fill(stack)
    everything = await ask(stack, "host nginx rate")
    cut = await ask(stack, "host nginx rate", min_score=0.6)
    assert all(h.score >= 0.6 for h in cut.hits)
    assert cut.total.value == len(cut.hits) < everything.total.value


async def test_pages_walk_every_hit_once(stack: Stack) -> None:
    await fill(stack, {f"d/{n}.md": f"nginx number {n} " + "word " * n for n in range(25)})
    seen: list[str] = []
    page = await ask(stack, "nginx", limit=4)
    assert page.total.value == 25
    assert page.total.relation == "exact"
    while True:
        seen += [h.path for h in page.hits]
        assert page.has_more == (page.next_cursor is not None)
        if page.next_cursor is None:
            break
        page = await ask(stack, "nginx", limit=4, cursor=page.next_cursor)
    assert len(seen) == len(set(seen)) == 25
    by_offset = await ask(stack, "nginx", limit=4, offset=8)
    assert [h.path for h in by_offset.hits] == seen[8:12]


async def test_a_cursor_is_good_for_its_key_and_query_only(stack: Stack) -> None:
    await fill(stack, {f"d/{n}.md": f"nginx number {n}" for n in range(5)})
    cursor = (await ask(stack, "nginx", limit=2)).next_cursor
    assert cursor
    with pytest.raises(InvalidError):
        await ask(stack, "number", limit=2, cursor=cursor)
    with pytest.raises(InvalidError):
        await ask(stack, "nginx", cursor=cursor[:-2] + "AA")
    other = Principal("other", "other", frozenset({"read"}))
    query = Query(query="nginx", collection="nixos_docs", cursor=cursor)
    with pytest.raises(InvalidError):
        await stack.search.search(other, query)


async def test_an_update_replaces_and_a_delete_hides_at_once(stack: Stack) -> None:
    await fill(stack)
    changed = NewDocument(path="pg/wal.md", source=b"archive_timeout now", project="pg")
    put = await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", changed)
    assert [h.path for h in (await ask(stack, "wal_level")).hits] == ["pg/wal.md"]  # till indexed
    await stack.indexer.drain()
    assert not [h for h in (await ask(stack, "wal_level")).hits if "wal_level" in h.text]
    assert (await ask(stack, "archive_timeout")).hits
    await stack.documents.delete(LOCAL_OPERATOR, put.document.id)
    assert not (await ask(stack, "archive_timeout")).hits


async def test_bounds_and_unknown_collections(stack: Stack) -> None:
    with pytest.raises(NotFoundError):
        await stack.search.search(LOCAL_OPERATOR, Query(query="x", collection="nothing"))
    await fill(stack)
    with pytest.raises(TooLargeError):
        await ask(stack, "é" * 5121)
    with pytest.raises(InvalidError):
        await ask(stack, "a\x00b")
    with pytest.raises(ConflictError, match=r"embeddings\.endpoint"):
        await ask(stack, "x", mode="dense")
