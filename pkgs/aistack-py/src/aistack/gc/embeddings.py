"""Vectors that are kept of texts which no passage has any more: much of a text can be told by them.

A vector is named by a hash of its model and text. No passage knows the hash, so those of all
passages are made anew, a page at a time, and only their first bytes are held: two that begin alike
keep a vector too many.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import numpy as np
from msgspec import Struct

from aistack.gc import totals
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.gc", "sweep.sql")
_PAGE = 2000
_KEPT: Final = np.dtype(">u8")
"""What is held of a hash."""


class _Key(Struct, frozen=True):
    """What names a vector."""

    model: str
    text_hash: bytes


async def count(postgres: Postgres, before: datetime) -> int:
    """How many vectors made before a moment would go."""
    return sum([len(page) async for page in _unused(postgres, before)])


async def sweep(postgres: Postgres, before: datetime, batch: int) -> int:
    """Delete those vectors, a batch in a transaction; returns how many."""
    number = 0
    async for page in _unused(postgres, before):
        for start in range(0, len(page), batch):
            some = page[start : start + batch]
            values = {
                "models": [key.model for key in some],
                "hashes": [key.text_hash for key in some],
                "before": before,
            }
            async with postgres.transaction() as conn:
                deleted = (await conn.execute(_QUERIES["embeddings"], values)).rowcount
                await totals.add(conn, "swept", "embeddings", deleted)
            number += deleted
    return number


async def _unused(postgres: Postgres, before: datetime) -> AsyncIterator[list[_Key]]:
    """Those made before a moment of whose text and model the index needs none, in pages.

    A text that is stored meanwhile can be among them: its vector is then made once more.
    """
    held: np.ndarray[Any, Any] | None = None
    values: dict[str, Any] = {"model": "", "hash": b"", "before": before, "limit": _PAGE}
    while rows := await postgres.fetch(_QUERIES["embeddings_page"], values):
        values |= {"model": rows[-1]["model"], "hash": rows[-1]["text_hash"]}
        old = [_Key(row["model"], bytes(row["text_hash"])) for row in rows if row["old"]]
        if not old:
            continue
        if held is None:
            held = await _held(postgres)
        begins = np.frombuffer(b"".join(key.text_hash[:8] for key in old), _KEPT)
        needed = np.isin(begins, held)
        yield [key for key, keep in zip(old, needed, strict=True) if not keep]


async def _held(postgres: Postgres) -> "np.ndarray[Any, Any]":
    """How the hashes of all passages begin, by each model that an index has."""
    models = [row["model"] for row in await postgres.fetch(_QUERIES["models"], {})]
    pages = []
    values: dict[str, Any] = {"models": models, "after": UUID(int=0), "limit": _PAGE}
    while models:
        (row,) = await postgres.fetch(_QUERIES["passage_hashes"], values)
        if row["last"] is None:
            break
        pages.append(np.frombuffer(row["hashes"] or b"", _KEPT))
        values["after"] = row["last"]
    return np.concatenate(pages) if pages else np.empty(0, _KEPT)
