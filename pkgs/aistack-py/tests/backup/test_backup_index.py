"""The index in a backup: snapshots that arrive whole, leave nothing behind, and find back."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from fake_qdrant import FakeQdrant, serving
from msgspec import structs

from aistack.access.model import LOCAL_OPERATOR
from aistack.backup import index, reconcile
from aistack.backup.catalogue import RECORD
from aistack.backup.model import Moment, RunRecord
from aistack.backup.restic import Restic
from aistack.cli.backup import hooks
from aistack.errors import ConfigError, NotFoundError, UnavailableError
from aistack.knowledge import vectors
from aistack.knowledge.model import Filter, NewDocument, Query
from aistack.settings.schema import Qdrant, Settings
from aistack.stores.snapshots import Snapshots
from aistack.wiring import open_stack

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[FakeQdrant]:
    with serving() as state:
        state.collections = {
            "aistack-notes-1": ["a", "b", "c"],
            "aistack-docs-2": ["d"],
            "another-stack": ["e"],
        }
        yield state


def opened(server: FakeQdrant):
    return Snapshots.open(Qdrant(url=server.url))


async def test_only_ours_and_nothing_stays(server: FakeQdrant, tmp_path: Path) -> None:
    async with opened(server) as snapshots:
        found = await index.collect(snapshots, tmp_path)
    assert [(one.name, one.points) for one in found] == [
        ("aistack-docs-2", 1), ("aistack-notes-1", 3),
    ]  # fmt: skip
    assert found[0].schema == {"config": {"params": {"of": "aistack-docs-2"}}, "payload_schema": {}}
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "aistack-docs-2.snapshot", "aistack-notes-1.snapshot",
    ]  # fmt: skip
    assert not any(server.snapshots.values())


async def test_what_comes_otherwise_than_it_was_made_is_refused(
    server: FakeQdrant, tmp_path: Path
) -> None:
    server.damage = True
    async with opened(server) as snapshots:
        with pytest.raises(UnavailableError, match="damaged on its way"):
            await index.collect(snapshots, tmp_path)
    assert not any(server.snapshots.values())


async def test_a_collection_that_goes_meanwhile_is_left_out(
    server: FakeQdrant, tmp_path: Path
) -> None:
    server.vanish = "aistack-docs-2"
    async with opened(server) as snapshots:
        found = await index.collect(snapshots, tmp_path)
    assert [one.name for one in found] == ["aistack-notes-1"]


async def test_what_a_killed_run_left_goes_and_what_others_made_stays(
    server: FakeQdrant, tmp_path: Path
) -> None:
    server.snapshots = {"aistack-notes-1": {"by-hand.snapshot": b"[]"}}
    async with opened(server) as snapshots:
        before = {"aistack-notes-1": ["by-hand.snapshot"], "gone": []}
        (tmp_path / "before.json").write_text(json.dumps(before))
        await snapshots.create("aistack-notes-1")  # and here it was killed
        await index.clear(snapshots, tmp_path)
        await index.clear(snapshots, tmp_path)
    assert list(server.snapshots["aistack-notes-1"]) == ["by-hand.snapshot"]


async def test_there_and_back(server: FakeQdrant, tmp_path: Path) -> None:
    async with opened(server) as snapshots:
        found = await index.collect(snapshots, tmp_path)
        server.collections = {"aistack-notes-1": ["other"]}
        assert await index.compare(snapshots, found[1:]) == [
            "aistack-notes-1 has 1 points of 3",
            *(f"aistack-notes-1 answers otherwise for {p}" for p in "abc"),
        ]
        await index.restore(snapshots, found, tmp_path)
        assert await index.compare(snapshots, found) == []
        (tmp_path / found[0].file).unlink()
        with pytest.raises(NotFoundError):
            await index.restore(snapshots, found, tmp_path)
    assert server.collections["aistack-notes-1"] == ["a", "b", "c"]


async def test_snapshots_of_another_minor_version_are_not_loaded(
    settings: Settings, server: FakeQdrant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Qdrant promises nothing then: the collections go, and the service makes them anew."""
    moment = Moment("m", "0/1", datetime.now(UTC), exact=True, tables=[])
    record = RunRecord(
        id="run", host="h", started_at=moment.at, generation=None, moment=moment,
        versions={"qdrant": "1.18.0"}, collections=[], aliases={}, backups={},
    )  # fmt: skip

    def restored(_self: Restic, _snapshot: str, into: Path) -> None:
        into.mkdir(parents=True)
        (into / RECORD).write_bytes(msgspec.json.encode(record))

    monkeypatch.setattr(Restic, "restore", restored)
    own = structs.replace(settings.backup, state_dir=str(tmp_path / "state"))
    changed = structs.replace(
        settings, backup=own, qdrant=Qdrant(url=server.url), postgres=settings.postgres
    )
    async with opened(server) as snapshots:
        with pytest.raises(UnavailableError, match=r"of Qdrant 1\.18\.0, the server is 1\.19\.2"):
            await hooks._restore_index(changed, snapshots, "local", "id")
        assert not (tmp_path / "state" / "restore").exists()
        assert await reconcile.rebuild(snapshots) == 2
    assert list(server.collections) == ["another-stack"]


async def test_local_mode_has_no_snapshots() -> None:
    with pytest.raises(ConfigError, match=r"qdrant\.path"):
        async with Snapshots.open(Qdrant(url=None, path="/nowhere")):
            pass


async def test_a_server_that_is_away_is_named() -> None:
    async with Snapshots.open(Qdrant(url="http://127.0.0.1:9", timeout_s=1)) as snapshots:
        with pytest.raises(UnavailableError, match=r"qdrant\.url"):
            await snapshots.collections()


async def test_an_index_of_another_moment_is_brought_to_what_postgresql_holds(
    settings: Settings, server: FakeQdrant
) -> None:
    """Points without a passage go, passages without a point are due, and search answers again."""
    async with open_stack(settings, index=False) as stack:
        for name in ("kept", "lost"):
            new = NewDocument(project="p", path=f"{name}.md", source=f"The {name} words".encode())
            await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new)
        await stack.indexer.drain()
        (live,) = [g for g in await stack.generations.all() if g.collection == "nixos_docs"]
        rows = await stack.postgres.fetch("select id, path from documents", {})
        lost = next(row["id"] for row in rows if row["path"] == "lost.md")
        chunks = await stack.postgres.fetch(
            "select id from chunks where document_id = %(lost)s", {"lost": lost}
        )
        await stack.vectors.delete(live.index_name, [str(row["id"]) for row in chunks])
        stray = vectors.Point(str(uuid4()), _sparse(), None, {"document": str(UUID(int=1))})
        await stack.vectors.upsert(live.index_name, [stray])
        known = [one.index_name for one in await stack.generations.all()]
        server.collections = {name: [] for name in [*known, "aistack-strange-9"]}
        async with opened(server) as snapshots:
            done = await reconcile.reconcile(stack.postgres, stack.vectors, snapshots)
        assert done == reconcile.Reconciled(1, 1, 1)
        assert "aistack-strange-9" not in server.collections
        await stack.indexer.drain()
        page = await stack.search.search(
            LOCAL_OPERATOR, Query(query="lost words", collection="nixos_docs", filter=Filter())
        )
        assert "lost.md" in [hit.path for hit in page.hits]
        async with opened(server) as snapshots:
            again = await reconcile.reconcile(stack.postgres, stack.vectors, snapshots)
        assert again == reconcile.Reconciled(0, 0, 0)


def _sparse():
    from aistack.knowledge import bm25
    from aistack.knowledge.terms import terms

    return bm25.passage_vector(terms("stray"), avgdl=1.0)
