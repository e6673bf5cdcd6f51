"""Vectors of passages, kept in PostgreSQL by model and text: none is made, or paid for, twice.

Garbage collection (aistack.gc.embeddings) deletes those of texts that are gone.
"""

from aistack.knowledge.embed import Embedder, pack, text_hash
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.knowledge", "index.sql")


async def of(postgres: Postgres, embedder: Embedder, model: str, texts: list[str]) -> list[bytes]:
    """A packed vector a text, kept or new.

    Each request's vectors are kept before the next one is sent: what fails later, be it for a
    single text, never pays for them again.

    Raises:
        InvalidError: the endpoint refuses a text.
        UnavailableError: a store or the endpoint is away.
    """
    hashes = [text_hash(model, text) for text in texts]
    values = {"model": model, "hashes": hashes}
    rows = await postgres.fetch(_QUERIES["cached_embeddings"], values, binary=True)
    known = {bytes(row["text_hash"]): bytes(row["vector"]) for row in rows}
    wanted = dict(zip(hashes, texts, strict=True))
    missing = [(digest, text) for digest, text in wanted.items() if digest not in known]
    for start in range(0, len(missing), embedder.batch_size):
        some = missing[start : start + embedder.batch_size]
        made = await embedder.passages([text for _, text in some])
        fresh = {digest: pack(vector) for (digest, _), vector in zip(some, made, strict=True)}
        await _keep(postgres, model, fresh)
        known |= fresh
    return [known[digest] for digest in hashes]


async def _keep(postgres: Postgres, model: str, fresh: dict[bytes, bytes]) -> None:
    async with postgres.transaction() as conn:
        for digest, packed in fresh.items():
            entry = {"model": model, "hash": digest, "vector": packed}
            await conn.execute(_QUERIES["keep_embedding"], entry)
