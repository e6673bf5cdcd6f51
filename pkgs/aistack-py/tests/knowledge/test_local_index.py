import threading
from pathlib import Path

import pytest

from aistack.access.model import LOCAL_OPERATOR
from aistack.errors import UnavailableError
from aistack.knowledge.model import NewDocument, Query
from aistack.settings.schema import Settings
from aistack.wiring import open_stack

pytestmark = pytest.mark.anyio


@pytest.fixture
def local(settings: Settings) -> Path:
    if settings.qdrant.path is None:
        pytest.skip("QDRANT_URL names a server: there is no local index")
    return Path(settings.qdrant.path)


async def test_a_half_written_local_index_is_made_anew(settings: Settings, local: Path) -> None:
    async with open_stack(settings, index=False) as stack:
        document = NewDocument(path="a.md", source=b"remember me")
        await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", document)
        await stack.indexer.drain()
    (local / "meta.json").write_text("")
    async with open_stack(settings, index=False) as stack:
        await stack.indexer.drain()
        query = Query(query="remember", collection="nixos_docs")
        assert (await stack.search.search(LOCAL_OPERATOR, query)).hits


# qdrant-client leaves its lock file open when it cannot have the lock.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_local_index_has_one_process(settings: Settings) -> None:
    async with open_stack(settings, index=False) as one:
        await one.qdrant.ping()
        async with open_stack(settings, index=False) as two:
            threads = threading.active_count()
            for _ in range(3):
                with pytest.raises(UnavailableError, match="in use"):
                    await two.qdrant.ping()
            # One of the pool may be new.
            assert threading.active_count() <= threads + 1


async def test_what_another_process_writes_just_now_is_not_deleted(
    settings: Settings, local: Path
) -> None:
    async with open_stack(settings, index=False) as one:
        await one.indexer.drain()
        whole = (local / "meta.json").read_text()
        (local / "meta.json").write_text(whole[:20])
        async with open_stack(settings, index=False) as two:
            with pytest.raises(UnavailableError, match="in use"):
                await two.qdrant.ping()
        (local / "meta.json").write_text(whole)
        assert await one.vectors.names()
