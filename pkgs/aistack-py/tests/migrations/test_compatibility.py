"""The rule between the chain and the code before it: expand, then contract."""

import hashlib
import importlib.resources
from collections.abc import Iterator

import psycopg
import pytest
from catalogue import breaks, read

from aistack import __version__
from aistack.migrations.chain import Migration, chain

FOLDER = importlib.resources.files("aistack.migrations")
BASE = "create table t (id bigint primary key, a text, b text not null default '', c int not null)"


@pytest.fixture
def connection(empty_dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(empty_dsn, autocommit=True) as opened:
        yield opened


def test_the_chain_is_every_file_and_numbered_without_a_gap() -> None:
    told = [one.name for one in chain()]
    assert told == sorted(entry.name for entry in FOLDER.iterdir() if entry.name.endswith(".sql"))
    assert [one.number for one in chain()] == list(range(1, len(told) + 1))


def test_what_was_released_is_what_it_was() -> None:
    """The first release's, once more: chain.toml alone could be changed along with a file."""
    first = [one for one in chain() if one.release == "0.1.0"]
    digest = hashlib.sha256("".join(one.sql for one in first).encode()).hexdigest()
    assert (len(first), digest[:16]) == (9, "0b419d82345c8cbe")


def test_releases_come_in_order_and_the_last_is_ours() -> None:
    numbers = [release(one.release) for one in chain()]
    assert numbers == sorted(numbers)
    assert numbers[-1] <= release(__version__)


def release(text: str) -> list[str]:
    return [part.zfill(6) for part in text.split(".")]


def test_an_expansion_takes_nothing_from_the_code_before_it(connection: psycopg.Connection) -> None:
    connection.execute(chain()[0].sql.encode())
    before = read(connection)
    for one in chain()[1:]:
        connection.execute(one.sql.encode())
        after = read(connection)
        if one.phase == "expand":
            assert breaks(before, after) == [], f"{one.name} is a contraction: see upgrades.md"
        before = after


def test_a_contraction_leaves_the_release_before_it_running() -> None:
    assert faults(chain()) == []


def faults(migrations: list[Migration]) -> list[str]:
    """Contractions that take away what the release before theirs still needs."""
    found = []
    for one in migrations:
        if (one.phase == "contract") != (one.oldest is not None):
            found.append(f"{one.name}: `oldest` is for contractions, and each has it")
        elif one.oldest is not None:
            known = [
                m.number for m in migrations if m.number < one.number and m.release != one.release
            ]
            if one.oldest > max(known, default=0):
                found.append(f"{one.name}: the release before {one.release} cannot use it")
    return found


def of(number: int, release: str, oldest: int | None = None) -> Migration:
    phase = "expand" if oldest is None else "contract"
    name = f"{number:04}_x.sql"
    return Migration(
        number=number, name=name, sql="", checksum="", phase=phase, release=release, oldest=oldest
    )


@pytest.mark.parametrize(
    ("last", "fine"),
    [
        (of(3, "0.3.0", oldest=2), True),
        (of(3, "0.2.0", oldest=2), False),  # expanded and contracted in one release
        (of(3, "0.2.0", oldest=1), True),
        (of(3, "0.3.0", oldest=3), False),
    ],
)
def test_what_a_contraction_may_take(last: Migration, fine: bool) -> None:
    assert (faults([of(1, "0.1.0"), of(2, "0.2.0"), last]) == []) is fine


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("drop table t", "table t is gone"),
        ("alter table t rename to s", "table t is gone"),
        ("alter table t drop column a", "column t.a is gone"),
        ("alter table t rename column a to d", "column t.a is gone"),
        ("alter table t alter column c type bigint", "column t.c is bigint, it was integer"),
        ("alter table t alter column a set not null", "column t.a must not be null any more"),
        ("alter table t alter column b drop default", "column t.b has no default any more"),
        ("alter table t add column d text not null", "new column t.d must be filled"),
        ("alter table t add check (c > 0)", "demands more: t_c_check"),
        ("alter table t add column d int check (d > c)", "demands more: t_check"),
        ("alter table t add column d text default 'x' unique", "demands more: t_d_key"),
        ("alter table t add unique (a)", "demands more: t_a_key"),
        ("create unique index i on t (lower(a))", "demands more: i"),
        ("alter table t add foreign key (id) references t (id)", "demands more: t_id_fkey"),
        ("do $$ begin execute 'alter table t drop ' || 'column a'; end $$", "column t.a is gone"),
    ],
)
def test_what_an_expansion_must_not_do(
    connection: psycopg.Connection, change: str, said: str
) -> None:
    connection.execute(BASE)
    before = read(connection)
    connection.execute(change.encode())
    (found, *_) = breaks(before, read(connection))
    assert said in found


@pytest.mark.parametrize(
    "change",
    [
        "create table u (id bigint primary key, t bigint not null references t (id))",
        "create index i on t (a)",
        "alter table t add column d text",
        "alter table t add column d text not null default 'x' check (d in ('x', 'y'))",
        "alter table t add column d bigint references t (id)",
        "alter table t add column d text unique",
        "alter table t alter column c drop not null",
        "alter table t drop constraint t_pkey",
        "create view v as select id from t",
    ],
)
def test_what_an_expansion_may_do(connection: psycopg.Connection, change: str) -> None:
    connection.execute(BASE)
    before = read(connection)
    connection.execute(change.encode())
    assert breaks(before, read(connection)) == []
