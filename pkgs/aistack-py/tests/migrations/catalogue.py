"""What tables demand of whoever uses them: the difference is what a migration did."""

from collections.abc import Mapping

import psycopg
from msgspec import Struct

_COLUMNS = """
select c.relname as "table", a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
       a.attnotnull as required,
       a.atthasdef or a.attidentity <> '' or a.attgenerated <> '' as filled,
       a.attgenerated <> '' or a.attidentity = 'a' as own
from pg_attribute a join pg_class c on c.oid = a.attrelid
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
      and a.attnum > 0 and not a.attisdropped
"""
# Not-null constraints have rows of their own since PostgreSQL 18; they are columns' above.
_DEMANDS = """
select conrelid::regclass::text, conname, contype = 'c', pg_get_constraintdef(oid),
       array(select attname::text from pg_attribute
             where attrelid = conrelid and attnum = any(conkey))
from pg_constraint
where connamespace = 'public'::regnamespace and conrelid <> 0
      and contype in ('c', 'f', 'u', 'p', 'x')
union all
select i.indrelid::regclass::text, i.indexrelid::regclass::text, false,
       pg_get_indexdef(i.indexrelid),
       array(select attname::text from pg_attribute
             where attrelid = indrelid and attnum = any(indkey))
from pg_index i join pg_class c on c.oid = i.indrelid
where c.relnamespace = 'public'::regnamespace and i.indisunique
      and not exists (select from pg_constraint where conindid = i.indexrelid)
"""


class Column(Struct, frozen=True):
    table: str
    name: str
    type: str
    required: bool
    """Not null."""
    filled: bool
    """By itself, where a writer does not name it."""
    own: bool
    """No writer may fill it."""


class Demand(Struct, frozen=True):
    """A constraint or a unique index."""

    table: str
    name: str
    check: bool
    """Of the row alone, not of other rows."""
    text: str
    columns: tuple[str, ...]


class Catalogue(Struct, frozen=True):
    columns: Mapping[tuple[str, str], Column]
    demands: frozenset[Demand]

    @property
    def tables(self) -> set[str]:
        return {table for table, _ in self.columns}


def read(connection: psycopg.Connection) -> Catalogue:
    columns = [Column(*row) for row in connection.execute(_COLUMNS)]
    demands = [Demand(*row[:4], tuple(row[4])) for row in connection.execute(_DEMANDS)]
    return Catalogue({(c.table, c.name): c for c in columns}, frozenset(demands))


def breaks(before: Catalogue, after: Catalogue) -> list[str]:
    """What code of before cannot do any more; empty: nothing."""
    found = [f"table {name} is gone" for name in before.tables - after.tables]
    for key, old in before.columns.items():
        if old.table in after.tables:
            found += _changes(".".join(key), old, after.columns.get(key))
    found += [
        f"new column {'.'.join(key)} must be filled: give it a default"
        for key, new in after.columns.items()
        if key not in before.columns
        and new.table in before.tables
        and new.required
        and not new.filled
    ]
    found += [
        f"table {demand.table} demands more: {demand.name}: {demand.text}"
        for demand in after.demands - before.demands
        if demand.table in before.tables and not _passes(demand, before, after)
    ]
    return sorted(found)


def _changes(name: str, old: Column, new: Column | None) -> list[str]:
    if new is None:
        return [f"column {name} is gone"]
    found = []
    if new.type != old.type:
        found.append(f"column {name} is {new.type}, it was {old.type}")
    if new.required and not old.required:
        found.append(f"column {name} must not be null any more")
    if new.required and old.filled and not new.filled:
        found.append(f"column {name} has no default any more")
    if new.own and not old.own:
        found.append(f"column {name} cannot be written any more")
    return found


def _passes(demand: Demand, before: Catalogue, after: Catalogue) -> bool:
    """Whether rows of code of before meet it: new columns are null there, or have their default."""
    keys = [(demand.table, name) for name in demand.columns]
    new = [after.columns[key] for key in keys if key not in before.columns]
    if demand.check:
        return bool(keys) and len(new) == len(keys)
    return any(not column.filled and not column.required for column in new)
