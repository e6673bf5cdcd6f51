"""Contexts: within their budget, with the right sources, and nothing that a key may not see."""

import random

import anyio
import pytest
from msgspec import structs
from toy import ANSWER, OTHER_ANSWER, QUESTION, bound_to, rows, tell

from aistack.access.model import LOCAL_OPERATOR, Principal
from aistack.coordinator import tokens
from aistack.coordinator.model import COLLECTION, Augmentation, AugmentQuery, NewOutcome
from aistack.errors import InvalidError, NotFoundError
from aistack.knowledge.model import NewDocument
from aistack.screening.screen import ScreenedError
from aistack.settings.schema import Screening, Settings, Validation
from aistack.wiring import Stack, open_stack

pytestmark = pytest.mark.anyio

DOC = "The module ngx_http_limit_req can limit requests in nginx by a key such as the address."


async def put(stack: Stack, path: str, text: str, collection: str = "nixos_docs") -> None:
    new = NewDocument(path=path, source=text.encode())
    await stack.documents.put(LOCAL_OPERATOR, collection, new)
    await stack.indexer.drain()


async def ask(
    stack: Stack, question: str = QUESTION, principal: Principal = LOCAL_OPERATOR, **more: object
) -> Augmentation:
    query = AugmentQuery(question=question, **more)  # type: ignore[arg-type]
    return await stack.coordinator.augment.augment(principal, query)


async def test_solutions_and_passages_with_their_sources(stack: Stack) -> None:
    made = await tell(stack)
    await put(stack, "limits.md", DOC)
    found = await ask(stack, collections=["nixos_docs"])
    assert [source.kind for source in found.sources] == ["solution", "passage"]
    solution, passage = found.sources
    assert solution.id == made.solution_id
    assert solution.collection == COLLECTION
    assert solution.value == made.value
    assert solution.score == 1
    assert (await stack.documents.get(LOCAL_OPERATOR, passage.document_id)).path == "limits.md"
    assert found.context.index(ANSWER) < found.context.index(DOC)
    assert found.tokens == tokens.estimate(found.context)
    assert found.budget_tokens == 2000
    assert (found.route.target, found.route.confidence) == ("local", solution.rank)
    assert [s.kind for s in (await ask(stack)).sources] == ["solution"], "it was not asked for"


async def test_nothing_known_is_for_a_remote_model(stack: Stack) -> None:
    await tell(stack)
    found = await ask(stack, "why does a quasar blink")
    assert (found.context, found.tokens, found.sources) == ("", 0, [])
    assert (found.route.target, found.route.confidence) == ("remote", 0)


async def test_the_most_valuable_comes_first(stack: Stack) -> None:
    await tell(stack, QUESTION, ANSWER, feedback=0.1)
    better = await tell(stack, QUESTION, OTHER_ANSWER, feedback=1.0)
    for _ in range(3):
        await tell(stack, QUESTION, OTHER_ANSWER, feedback=1.0)
    found = await ask(stack)
    assert len(found.sources) == 2
    assert found.sources[0].id == better.solution_id
    assert found.sources[0].rank > found.sources[1].rank


async def test_what_fails_more_than_it_helps_is_not_served(stack: Stack) -> None:
    made = await tell(stack)
    for _ in range(2):
        await tell(stack, outcome="failure")
    assert (await ask(stack)).sources == []
    await stack.coordinator.solutions.pin(LOCAL_OPERATOR, made.solution_id, pinned=True)
    found = await ask(stack)
    assert [source.id for source in found.sources] == [made.solution_id]
    assert found.route.target == "remote"


async def test_the_same_is_said_once(stack: Stack) -> None:
    await tell(stack)
    for name in ("a.md", "b.md"):
        await put(stack, name, DOC)
    await put(stack, "c.md", ANSWER)
    found = await ask(stack, collections=["nixos_docs"], min_score=0)
    assert [source.kind for source in found.sources] == ["solution", "passage"]
    long = "\n\n".join(f"{DOC} part {n} " + f"filler{n} " * 120 for n in range(8))
    await tell(stack, "how is nginx set up at length", long)
    found = await ask(stack, "how is nginx set up at length", budget_tokens=20_000)
    assert len({source.id for source in found.sources}) == len(found.sources)


async def test_the_budget_is_never_exceeded(stack: Stack) -> None:
    chance = random.Random(1)  # noqa: S311 - repeatable, not secret
    for number in range(6):
        code = "".join(chance.choice("ab{};=()$ \n") for _ in range(chance.randrange(2000)))
        words = " ".join(f"word{chance.randrange(300)}" for _ in range(chance.randrange(1, 600)))
        await tell(
            stack, f"how do i limit number{number} in nginx", f"use limit 漢字 {words} {code}"
        )
    await put(stack, "limits.md", (DOC + " 漢字かな交じり文 ") * 60)
    await tell(stack, QUESTION, ANSWER, session="s")
    sizes = set()
    for budget in (64, 65, 80, 100, 128, 200, 333, 500, 1000, 2000, 5000):
        found = await ask(
            stack, collections=["nixos_docs"], budget_tokens=budget, min_score=0, session="s"
        )
        assert found.tokens == tokens.estimate(found.context) <= budget
        assert found.budget_tokens == budget
        assert sum(source.tokens for source in found.sources) <= budget
        sizes.add(len(found.sources))
    assert len(sizes) > 3, "the budget makes no difference"
    cut = [s for s in (await ask(stack, budget_tokens=100, min_score=0)).sources if s.truncated]
    assert len(cut) <= 1


async def test_unknown_and_forbidden_collections_look_alike(stack: Stack) -> None:
    await put(stack, "limits.md", DOC)
    other = bound_to("system_registry")
    said = set()
    for principal, name in ((other, "nixos_docs"), (other, "no_such"), (LOCAL_OPERATOR, "no_such")):
        with pytest.raises(NotFoundError) as error:
            await ask(stack, principal=principal, collections=[name])
        said.add(error.value.detail)
    assert len(said) == 1
    own = await ask(stack, principal=bound_to("nixos_docs"), collections=["nixos_docs"])
    assert [source.kind for source in own.sources] == ["passage"]
    with pytest.raises(InvalidError):
        await ask(stack, " ")


async def test_a_refused_question_is_named_by_its_field(settings: Settings) -> None:
    validation = Validation(questions=Screening(sql="reject"))
    async with open_stack(structs.replace(settings, validation=validation), index=False) as stack:
        await stack.indexer.drain()
        with pytest.raises(ScreenedError) as error:
            await ask(stack, "' UNION SELECT password FROM users--")
        assert error.value.pointer == "/question"


async def test_uses_are_counted_in_batches(stack: Stack) -> None:
    made = await tell(stack)
    for _ in range(5):
        await ask(stack)
    assert (await rows(stack, "select uses from solutions"))[0]["uses"] == 0
    await stack.coordinator.uses.flush()
    (row,) = await rows(stack, "select uses, last_used_at, value, now() as now from solutions")
    assert row["uses"] == 5
    assert 0 <= (row["now"] - row["last_used_at"]).total_seconds() < 60
    assert row["value"] > (made.value or 0)
    await stack.coordinator.uses.flush()
    assert (await rows(stack, "select uses from solutions"))[0]["uses"] == 5


async def test_uses_are_kept_while_the_database_is_away(stack: Stack) -> None:
    await tell(stack)
    await ask(stack)
    async with stack.postgres.transaction() as conn:
        await conn.execute("select 1 from solutions for update")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stack.coordinator.uses._try)
            # It waits for our lock; there its connection is ended.
            while not await rows(  # noqa: ASYNC110 - another connection has no event for us
                stack,
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where wait_event_type = 'Lock' and datname = current_database()",
            ):
                await anyio.sleep(0.02)
    assert (await rows(stack, "select uses from solutions"))[0]["uses"] == 0
    await stack.coordinator.uses.flush()
    assert (await rows(stack, "select uses from solutions"))[0]["uses"] == 1


async def test_a_bad_outcome_turns_the_route(stack: Stack) -> None:
    made = await tell(stack, feedback=1.0)
    assert (await ask(stack)).route.target == "local"
    await stack.coordinator.interactions.set_outcome(
        LOCAL_OPERATOR, made.id, NewOutcome(outcome="partial", feedback=-1.0)
    )
    assert (await ask(stack)).route.target == "remote"


async def test_a_reworded_question_is_found_by_meaning(meaning: Stack) -> None:
    made = await tell(meaning)
    found = await ask(meaning, "can we restrict clients in nginx")
    assert [source.id for source in found.sources] == [made.solution_id]
    assert found.sources[0].score > 0.95
    assert found.route.target == "local"
