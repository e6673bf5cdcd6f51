"""Conversations, with Redis and without."""

import pytest
from msgspec import structs
from toy import bound_to, rows, tell

from aistack.access.model import LOCAL_OPERATOR
from aistack.coordinator.model import AugmentQuery
from aistack.errors import UnavailableError
from aistack.settings.schema import Learning, Redis, Settings
from aistack.wiring import Stack, open_stack

pytestmark = pytest.mark.anyio


async def talk(stack: Stack, turns: int, session: str = "chat", start: int = 0) -> None:
    for number in range(start, start + turns):
        await tell(
            stack, f"question {number}", f"answer {number}", session=session, outcome=None,
            drain=False,
        )  # fmt: skip


async def heard(stack: Stack, session: str = "chat") -> list[str]:
    turns = await stack.coordinator.sessions.turns(LOCAL_OPERATOR, session)
    assert all(turn.response == turn.question.replace("question", "answer") for turn in turns)
    return [turn.question for turn in turns]


def questions(*numbers: int) -> list[str]:
    return [f"question {n}" for n in numbers]


async def forget(stack: Stack) -> None:
    # All tests share one server, and their databases one secret: that of their template.
    if stack.redis._client is not None and await stack.redis.ping():
        await stack.redis._client.flushdb()


@pytest.fixture(params=["redis", "none", "away"])
async def any_stack(request, settings: Settings, redis_server: str):  # type: ignore[no-untyped-def]
    urls = {"redis": redis_server, "none": None, "away": "redis://127.0.0.1:1/0"}
    own = structs.replace(
        settings,
        redis=Redis(url=urls[request.param]),
        learning=Learning(session_turns=4, session_bytes=1024),
    )
    async with open_stack(own, index=False) as opened:
        await forget(opened)
        yield opened


async def test_the_newest_turns_are_kept_in_order(any_stack: Stack) -> None:
    await talk(any_stack, 3)
    assert await heard(any_stack) == questions(0, 1, 2)
    await talk(any_stack, 4, start=3)
    assert await heard(any_stack) == questions(3, 4, 5, 6)
    assert await heard(any_stack, "another") == []


async def test_turns_are_bounded_in_bytes(any_stack: Stack) -> None:
    await tell(any_stack, "q", "long " * 5000, session="chat", outcome=None, drain=False)
    (turn,) = await any_stack.coordinator.sessions.turns(LOCAL_OPERATOR, "chat")
    assert len(turn.response.encode()) <= 512
    assert turn.response.endswith("[...]")
    await tell(any_stack, "ü" * 450, "e" * 500, session="chat", outcome=None, drain=False)
    await tell(any_stack, "last", "one", session="chat", outcome=None, drain=False)
    turns = await any_stack.coordinator.sessions.turns(LOCAL_OPERATOR, "chat")
    assert sum(len(t.question.encode()) + len(t.response.encode()) for t in turns) <= 1024
    assert turns[-1].question == "last"


async def test_a_session_is_its_keys_own(any_stack: Stack) -> None:
    await talk(any_stack, 2)
    other = bound_to("nixos_docs")
    assert await any_stack.coordinator.sessions.turns(other, "chat") == []


async def test_a_session_has_one_name_however_its_letters_are_composed(any_stack: Stack) -> None:
    await talk(any_stack, 1, session="e\u0301")
    await talk(any_stack, 1, session="é", start=1)
    await any_stack.indexer.drain()
    for name in ("é", "e\u0301"):
        query = AugmentQuery(question="which?", session=name)
        found = await any_stack.coordinator.augment.augment(LOCAL_OPERATOR, query)
        assert [source.title for source in found.sources] == questions(0, 1)


async def test_redis_that_forgot_is_filled_again(with_redis: Stack) -> None:
    await forget(with_redis)
    client = with_redis.redis._client
    assert client is not None
    await talk(with_redis, 3)
    (key,) = await client.keys("aistack:session:*")
    assert 0 < await client.ttl(key) <= 24 * 3600
    await client.flushdb()
    await talk(with_redis, 1, start=3)
    assert await client.llen(key) == 4
    assert await heard(with_redis) == questions(0, 1, 2, 3)
    await client.flushdb()
    assert await heard(with_redis) == questions(0, 1, 2, 3)
    assert await client.llen(key) == 4
    async with with_redis.postgres.transaction() as conn:
        await conn.execute("delete from interactions")
    assert await heard(with_redis) == questions(0, 1, 2, 3), "PostgreSQL was asked"


async def test_a_context_begins_with_the_conversation(with_redis: Stack) -> None:
    await forget(with_redis)
    await tell(with_redis, "which server do i use", "nginx", session="chat", outcome=None)
    query = AugmentQuery(question="how do i limit requests", session="chat")
    found = await with_redis.coordinator.augment.augment(LOCAL_OPERATOR, query)
    assert [source.kind for source in found.sources] == ["turn"]
    (row,) = await rows(with_redis, "select id from interactions")
    assert found.sources[0].id == row["id"]
    assert "nginx" in found.context
    assert found.route.target == "remote"
    await tell(with_redis, "which server do i use", "nginx")
    again = structs.replace(query, question="which server do i use")
    found = await with_redis.coordinator.augment.augment(LOCAL_OPERATOR, again)
    assert found.context.count("nginx") == 1, "a solution repeats what the conversation says"
    assert found.route.target == "local"
    tiny = structs.replace(query, budget_tokens=64)
    cut = await with_redis.coordinator.augment.augment(LOCAL_OPERATOR, tiny)
    assert cut.tokens <= 64


async def test_a_recorded_turn_is_never_an_error(
    with_redis: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise UnavailableError("the database does not answer")

    await forget(with_redis)
    monkeypatch.setattr(with_redis.coordinator.sessions, "_stored", fail)
    made = await tell(with_redis, session="chat", outcome=None)
    assert (await with_redis.coordinator.interactions.get(LOCAL_OPERATOR, made.id)) == made


async def test_turns_of_another_version_are_read_anew(with_redis: Stack) -> None:
    await forget(with_redis)
    await talk(with_redis, 2)
    client = with_redis.redis._client
    assert client is not None
    (key,) = await client.keys("aistack:session:*")
    await client.rpush(key, b'{"other": 1}')  # type: ignore[misc]
    assert await heard(with_redis) == questions(0, 1)
