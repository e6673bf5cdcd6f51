import asyncio
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from msgspec import structs

from aistack.access.keys import Keys, generate
from aistack.access.model import Principal, Scope
from aistack.errors import InvalidError, NotFoundError, UnauthenticatedError, UnavailableError
from aistack.settings.schema import Postgres as PostgresSettings, Settings
from aistack.stores.postgres import Postgres
from aistack.wiring import open_stack

pytestmark = pytest.mark.anyio


@pytest.fixture
async def keys(settings: Settings):  # type: ignore[no-untyped-def]  # an async generator
    async with open_stack(settings, index=False) as stack:
        yield stack.keys


async def test_a_key_lets_in_until_it_is_revoked(keys: Keys) -> None:
    new = await keys.create(name="ci", scopes=["write"], collections=["nixos_docs"])
    principal = await keys.verify(new.key)
    assert principal.allows("read")
    assert not principal.allows("admin")
    assert principal.collections == frozenset({"nixos_docs"})
    await keys.revoke(new.info.id)
    with pytest.raises(UnauthenticatedError):
        await keys.verify(new.key)


async def test_the_secret_is_nowhere_in_the_database(keys: Keys) -> None:
    new = await keys.create(name="ci", scopes=["read"])
    secret = new.key.split("_", 2)[2]
    async with keys._postgres.read() as conn:
        row = await (await conn.execute("select api_keys::text as all from api_keys")).fetchone()
    assert row
    assert secret not in row["all"]


@pytest.mark.parametrize("presented", ["", "x", "aistack_", "aistack_" + "0" * 12 + "_" + "a" * 43])
async def test_what_is_no_key_is_refused(keys: Keys, presented: str) -> None:
    with pytest.raises(UnauthenticatedError):
        await keys.verify(presented)


async def test_a_wrong_secret_with_a_right_id_is_refused(keys: Keys) -> None:
    one = await keys.create(name="one", scopes=["read"])
    two = await keys.create(name="two", scopes=["admin"])
    await keys.verify(two.key)
    forged = f"aistack_{one.info.id}_{two.key.split('_', 2)[2]}"
    with pytest.raises(UnauthenticatedError):
        await keys.verify(forged)


async def test_rotation_overlaps_then_ends_the_old_key(keys: Keys) -> None:
    old = await keys.create(name="ci", scopes=["read"])
    new = await keys.rotate(old.info.id, overlap=timedelta(hours=1))
    assert (await keys.verify(old.key)).name == (await keys.verify(new.key)).name == "ci"
    await keys.rotate(new.info.id, overlap=timedelta(0))
    with pytest.raises(UnauthenticatedError):
        await keys.verify(new.key)
    with pytest.raises(NotFoundError):
        await keys.rotate("000000000000")


async def test_keys_need_a_name_scopes_and_a_future(keys: Keys) -> None:
    with pytest.raises(InvalidError):
        await keys.create(name=" ", scopes=["read"])
    with pytest.raises(InvalidError):
        await keys.create(name="x", scopes=[])
    past = datetime.now(UTC) - timedelta(days=1)
    with pytest.raises(InvalidError):
        await keys.create(name="x", scopes=["read"], expires_at=past)


async def test_without_a_database_nobody_is_let_in() -> None:
    away = Postgres(PostgresSettings(dsn="host=/nonexistent dbname=x", pool_min=0, timeout_s=0.3))
    await away.open()
    try:
        with pytest.raises(UnavailableError):
            await Keys(away).verify("aistack_" + "0" * 12 + "_" + "a" * 43)
    finally:
        await away.close()


async def test_a_declared_key_is_made_once_and_stays_revoked(keys: Keys) -> None:
    key = generate()
    assert await keys.ensure(key, name="admin", scopes=["admin"])
    assert not await keys.ensure(key, name="admin", scopes=["admin"])
    assert (await keys.verify(key)).allows("admin")
    assert len(await keys.list()) == 1

    await keys.revoke(key.split("_")[1])
    assert not await keys.ensure(key, name="admin", scopes=["admin"])
    with pytest.raises(UnauthenticatedError):
        await keys.verify(key)


async def test_a_declared_key_has_its_own_limits(keys: Keys) -> None:
    key = generate()
    await keys.ensure(key, name="prometheus", scopes=["metrics"], per_minute=600, per_hour=36_000)
    principal = await keys.verify(key)
    assert (principal.per_minute, principal.per_hour) == (600, 36_000)
    with pytest.raises(InvalidError, match="rate limit"):
        await keys.ensure(generate(), name="x", scopes=["metrics"], per_minute=0)


async def test_a_declared_key_is_no_way_to_another_keys_rights(keys: Keys) -> None:
    admin = await keys.create(name="admin", scopes=["admin"])
    forged = f"aistack_{admin.info.id}_{generate().split('_', 2)[2]}"
    with pytest.raises(InvalidError, match="another secret"):
        await keys.ensure(forged, name="x", scopes=["read"])
    with pytest.raises(InvalidError, match="generate"):
        await keys.ensure("secret", name="x", scopes=["read"])
    assert (await keys.verify(admin.key)).allows("admin")


async def test_a_key_has_its_own_limits_and_keeps_them_when_rotated(keys: Keys) -> None:
    old = await keys.create(name="ci", scopes=["read"], per_minute=7)
    new = await keys.rotate(old.info.id, overlap=timedelta(hours=1))
    principal = await keys.verify(new.key)
    assert (principal.per_minute, principal.per_hour) == (7, None)
    with pytest.raises(InvalidError):
        await keys.create(name="ci", scopes=["read"], per_hour=0)


async def test_what_is_done_to_a_key_is_written_down(keys: Keys) -> None:
    admin = await keys.create(name="admin", scopes=["admin"])
    actor = await keys.verify(admin.key)
    old = await keys.create(name="ci", scopes=["read"], actor=actor)
    new = await keys.rotate(old.info.id, actor=actor)
    await keys.revoke(old.info.id)
    await keys.revoke(old.info.id)

    told = [(e.event, e.actor) for e in await keys.events(old.info.id)]
    by = admin.info.id
    assert told == [("revoked", "local"), ("rotated", by), ("created", by)]
    assert [e.event for e in await keys.events(new.info.id)] == ["created"]
    assert len(await keys.events(limit=2)) == 2
    with pytest.raises(NotFoundError):
        await keys.events("000000000000")


async def test_many_at_once_are_one_look_up(settings: Settings) -> None:
    async with open_stack(settings, index=False) as stack:
        new = await stack.keys.create(name="busy", scopes=["read"])
        looked_up = 0
        plain = stack.keys._look_up

        async def counted(key_id: str, digest: bytes) -> Principal:
            nonlocal looked_up
            looked_up += 1
            return await plain(key_id, digest)

        stack.keys._look_up = counted  # type: ignore[method-assign]
        found = await asyncio.gather(*(stack.keys.verify(new.key) for _ in range(300)))
        assert len({p.key_id for p in found}) == 1
        assert looked_up == 1
        assert not stack.keys._asked


def lapse(keys: Keys) -> None:
    """What is remembered has to be looked up again."""
    remembered = keys._remembered._keys
    for digest, known in remembered.items():
        remembered[digest] = structs.replace(known, fresh_until=0.0)


class Hangs:
    """A look-up that never ends; what is remembered has lapsed."""

    def __init__(self, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
        async def never(*_: object) -> Principal:
            await asyncio.Event().wait()
            raise AssertionError

        monkeypatch.setattr("aistack.access.keys._PATIENCE_S", 0.05)
        monkeypatch.setattr("aistack.access.keys._PATIENCE_OF_WATCHERS_S", 0.05)
        monkeypatch.setattr(keys, "_look_up", never)
        lapse(keys)


@pytest.mark.parametrize("scope", ["read", "write", "admin"])
async def test_a_database_that_hangs_hangs_nobody(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, scope: Scope
) -> None:
    new = await keys.create(name="one", scopes=[scope, "metrics"])
    await keys.verify(new.key)
    Hangs(keys, monkeypatch)
    for _ in range(2):
        async with asyncio.timeout(20):
            with pytest.raises(UnavailableError):
                await keys.verify(new.key)


async def test_who_may_only_watch_does_so_while_the_database_hangs(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await keys.create(name="prometheus", scopes=["metrics", "issues"])
    other = await keys.create(name="other", scopes=["metrics"])
    revoked = await keys.create(name="gone", scopes=["metrics"])
    for new in (known, revoked):
        await keys.verify(new.key)
    await keys.revoke(revoked.info.id)
    with pytest.raises(UnauthenticatedError):
        await keys.verify(revoked.key)
    await keys.verify(known.key)
    Hangs(keys, monkeypatch)
    async with asyncio.timeout(20):
        assert (await keys.verify(known.key)).name == "prometheus"
    # Never seen to be right, or seen to be wrong since.
    for new in (other, revoked):
        with pytest.raises(UnavailableError):
            await keys.verify(new.key)


async def test_who_may_only_watch_does_so_until_its_key_expires(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = await keys.create(
        name="prometheus", scopes=["metrics"], expires_at=datetime.now(UTC) + timedelta(minutes=1)
    )
    await keys.verify(new.key)
    Hangs(keys, monkeypatch)
    await keys.verify(new.key)
    ((digest, known),) = keys._remembered._keys.items()
    assert 50 < known.ends - time.monotonic() <= 60
    keys._remembered._keys[digest] = structs.replace(known, ends=time.monotonic())
    with pytest.raises(UnavailableError):
        await keys.verify(new.key)


async def test_what_another_process_revoked_is_forgotten(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = await keys.create(name="prometheus", scopes=["metrics"])
    await keys.verify(new.key)
    async with keys._postgres.transaction() as conn:
        await conn.execute("update api_keys set revoked_at = now()")
    lapse(keys)
    with pytest.raises(UnauthenticatedError):
        await keys.verify(new.key)
    Hangs(keys, monkeypatch)
    with pytest.raises(UnavailableError):
        await keys.verify(new.key)


async def test_what_another_process_ended_is_not_opened_by_an_outage(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not shown here since: any other key's look-up tells of it."""
    revoked, rotated, known = [
        await keys.create(name=name, scopes=["metrics"]) for name in ("revoked", "rotated", "known")
    ]
    other = await keys.create(name="other", scopes=["read"])
    for new in (revoked, rotated, known, other):
        await keys.verify(new.key)
    elsewhere = Keys(keys._postgres)
    await elsewhere.revoke(revoked.info.id)
    await elsewhere.rotate(rotated.info.id, overlap=timedelta(seconds=0.2))
    lapse(keys)
    await keys.verify(other.key)
    Hangs(keys, monkeypatch)
    await asyncio.sleep(0.2)
    for new in (revoked, rotated, other):
        with pytest.raises(UnavailableError):
            await keys.verify(new.key)
    assert (await keys.verify(known.key)).name == "known"


@pytest.mark.parametrize(
    "wrong",
    [
        {"per_minute": 3_000_000_000},
        {"per_hour": 0},
        {"expires_at": datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-12)))},
    ],
)
async def test_what_the_database_cannot_hold_is_refused(keys: Keys, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        await keys.create(name="x", scopes=["read"], **wrong)
