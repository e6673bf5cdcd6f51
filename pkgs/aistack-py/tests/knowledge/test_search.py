import pytest
from qdrant_client import models

from aistack.access.model import LOCAL_OPERATOR, Principal
from aistack.errors import ConflictError, InvalidError, NotFoundError, TooLargeError
from aistack.knowledge import bm25
from aistack.knowledge.model import Filter, NewDocument, Query, SearchPage
from aistack.knowledge.terms import terms
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


async def test_pages_walk_every_hit_once_where_more_are_equal_than_a_window_holds(
    stack: Stack,
) -> None:
    same = {f"d/{n}.md": "nginx in the same words" for n in range(150)}
    await fill(stack, same | {"d/best.md": "nginx nginx"})
    for bound in (0.0, 0.5):
        seen: list[str] = []
        cursor = None
        while cursor is not None or not seen:
            page = await ask(stack, "nginx", limit=40, cursor=cursor, min_score=bound)
            seen += [h.path for h in page.hits]
            cursor = page.next_cursor
        assert len(seen) == len(set(seen)) == 151
        assert seen[0] == "d/best.md"


async def test_points_of_others_in_the_index_are_passed_over(stack: Stack) -> None:
    await fill(stack)
    words = bm25.question_vector(terms("nginx"))
    vector = {"bm25": models.SparseVector(indices=words.indices, values=words.values)}
    foreign = [models.PointStruct(id=7, vector=vector, payload={})]
    (row,) = await stack.postgres.fetch(
        "select index_name from generations where collection = 'nixos_docs' and state = 'live'", {}
    )
    await stack.qdrant.run(lambda client: client.upsert(row["index_name"], foreign, wait=True))
    page = await ask(stack, "nginx")
    assert [h.path for h in page.hits] == ["nginx/hosts.md"]
    assert page.total.value == 1


@pytest.mark.parametrize("under", ["a", "a/", "./b", "c//d", "/e", "/", "f/e\u0301", "..", "%"])
async def test_a_folder_is_the_same_to_search_and_to_listings(stack: Stack, under: str) -> None:
    paths = ["a/x", "a/b/x", "ab/x", "./b/x", "b/x", "c//d/x", "c/d/x", "/e/x", "e/x", "f/é/x",
             "../x", "%/x"]  # fmt: skip
    await fill(stack, dict.fromkeys(paths, "nginx"))
    listed = await stack.documents.list(LOCAL_OPERATOR, "nixos_docs", under=under)
    found = await ask(stack, "nginx", filter=Filter(under=under))
    assert {h.path for h in found.hits} == {d.path for d in listed.documents} != set()


async def test_a_filter_is_composed_as_what_is_stored(stack: Stack) -> None:
    document = NewDocument(path="a.md", source=b"nginx", metadata={"e\u0301": "e\u0301"})
    await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", document)
    await stack.indexer.drain()
    for key in ("é", "e\u0301"):
        assert (await ask(stack, "nginx", filter=Filter(metadata={key: key}))).hits


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
