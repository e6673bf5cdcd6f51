"""Counters that PostgreSQL keeps for metrics: they outlive a run and the rows that it records."""

from aistack.stores.postgres import Connection
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.gc", "gc.sql")


async def add(conn: Connection, metric: str, label: str, value: float) -> None:
    """Count more of a metric, with what is counted if that is in the same transaction."""
    values = {"metric": metric, "label": label, "value": float(value)}
    await conn.execute(_QUERIES["add_total"], values)
