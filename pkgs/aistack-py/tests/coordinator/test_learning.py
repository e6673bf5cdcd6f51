"""What is learned from interactions, and that nothing is learned twice."""

import anyio
import pytest
from msgspec import structs
from toy import ANSWER, OTHER_ANSWER, QUESTION, ToyEndpoint, bound_to, rows, tell

from aistack.access.model import LOCAL_OPERATOR
from aistack.coordinator.model import (
    COLLECTION,
    AugmentQuery,
    NewInteraction,
    NewOutcome,
    SolutionQuery,
)
from aistack.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from aistack.knowledge.model import Query
from aistack.screening.screen import ScreenedError
from aistack.settings.schema import Qdrant, Settings
from aistack.wiring import Stack, open_stack

pytestmark = pytest.mark.anyio


async def solutions(stack: Stack) -> list[dict[str, object]]:
    return await rows(stack, "select * from solutions order by created_at")


async def test_a_success_becomes_a_solution_that_search_finds(stack: Stack) -> None:
    made = await tell(stack, tags=["nginx"])
    assert made.solution_id is not None
    solution = await stack.coordinator.solutions.get(LOCAL_OPERATOR, made.solution_id)
    assert (solution.question, solution.answer, solution.tags) == (QUESTION, ANSWER, ["nginx"])
    assert (solution.successes, solution.failures) == (1, 0)
    assert solution.parts.novelty == 1
    assert solution.parts.reusability == 0
    assert made.value == solution.value
    page = await stack.search.search(
        LOCAL_OPERATOR, Query(query="limit requests nginx", collection=COLLECTION)
    )
    assert page.hits[0].document_id == solution.document_id
    assert page.hits[0].metadata == {"solution": str(solution.id), "tag:nginx": True}


async def test_nothing_is_learned_from_what_nobody_judged_or_was_happy_with(stack: Stack) -> None:
    unknown = await tell(stack, outcome=None)
    assert unknown.value is None
    await tell(stack, "another question", "with its answer", outcome="failure")
    await tell(stack, "a third question", "with another answer", outcome="partial")
    await tell(stack, "a fourth question", "with a bad answer", feedback=-0.5)
    assert await solutions(stack) == []
    judged = await stack.coordinator.interactions.set_outcome(
        LOCAL_OPERATOR, unknown.id, NewOutcome(outcome="success", feedback=1.0)
    )
    assert judged.solution_id is not None
    assert len(await solutions(stack)) == 1
    assert (await stack.coordinator.interactions.get(LOCAL_OPERATOR, unknown.id)) == judged


async def test_feedback_and_outcomes_can_change_and_are_counted_once(stack: Stack) -> None:
    made = await tell(stack)
    told = stack.coordinator.interactions.set_outcome
    values = []
    for outcome, feedback in (
        ("success", 1.0), ("success", 1.0), ("success", -1.0), ("failure", -1.0), ("success", None),
    ):  # fmt: skip
        new = NewOutcome(outcome=outcome, feedback=feedback)  # type: ignore[arg-type]
        judged = await told(LOCAL_OPERATOR, made.id, new)
        (row,) = await solutions(stack)
        values.append(row["value"])
        assert judged.solution_id == made.solution_id == row["id"]
        assert judged.value == row["value"]
    first, again, unhappy, failed, back = values
    assert first == again
    assert first > unhappy > failed
    assert back == made.value
    (row,) = await solutions(stack)
    counted = [row[name] for name in ("successes", "partials", "failures", "feedback_count")]
    assert counted == [1, 0, 0, 0]
    assert row["feedback_sum"] == 0


async def test_the_same_problem_strengthens_its_solution(stack: Stack) -> None:
    first = await tell(stack, tags=["nginx"])
    again = await tell(stack, QUESTION.upper() + "?", ANSWER + ".", tags=["rates"])
    assert again.solution_id == first.solution_id
    (row,) = await solutions(stack)
    assert row["successes"] == 2
    assert row["tags"] == ["nginx", "rates"]
    assert row["examples"] == [QUESTION.upper() + "?"]
    assert row["value"] > (first.value or 0)
    for number in range(12):
        await tell(stack, QUESTION + "?" * number, drain=False, tags=[f"t{number}", f"u{number}"])
    (row,) = await solutions(stack)
    assert row["successes"] == 14
    assert len(row["examples"]) == 8
    assert len(row["tags"]) == 16


async def test_a_failure_weakens_it(stack: Stack) -> None:
    first = await tell(stack)
    failed = await tell(stack, outcome="failure", feedback=-1.0)
    assert failed.solution_id == first.solution_id
    (row,) = await solutions(stack)
    assert row["failures"] == 1
    assert row["value"] < (first.value or 0)
    # What was made of it for the same question failed, too; for another question it says nothing.
    used = {"outcome": "failure", "context_ids": [first.solution_id]}
    assert (await tell(stack, QUESTION, "it did not help", **used)).solution_id == row["id"]
    other = await tell(stack, "why does my disk click", "it did not help", **used)
    assert other.solution_id is None
    assert (await solutions(stack))[0]["failures"] == 2


async def test_two_answers_to_one_question_stay_two(stack: Stack) -> None:
    one = await tell(stack)
    other = await tell(stack, response=OTHER_ANSWER)
    assert one.solution_id != other.solution_id
    assert len(await solutions(stack)) == 2
    assert other.parts is not None
    assert other.parts.novelty > 0.5
    again = await tell(stack, response=OTHER_ANSWER)
    assert again.solution_id == other.solution_id


@pytest.mark.slow
@pytest.mark.repeats
async def test_many_answers_to_one_question_are_told_apart(stack: Stack) -> None:
    made = [
        (await tell(stack, response=f"one{n} two{n} three{n} four{n}", drain=n % 40 == 39))
        for n in range(130)
    ]
    assert len({one.solution_id for one in made}) == 130
    for number in (0, 64, 129):
        again = await tell(stack, response=made[number].response, drain=False)
        assert again.solution_id == made[number].solution_id


async def test_a_reworded_question_is_the_same_by_its_meaning(meaning: Stack) -> None:
    first = await tell(meaning)
    (row,) = await solutions(meaning)
    assert row["vector_model"] == "toy"
    again = await tell(meaning, "can we restrict clients in nginx")
    assert again.solution_id == first.solution_id
    assert again.parts is not None
    assert again.parts.novelty < 0.05
    other = await tell(meaning, "can we restrict clients in nginx", OTHER_ANSWER)
    assert other.solution_id != first.solution_id


async def test_without_meaning_it_is_another_question(stack: Stack) -> None:
    first = await tell(stack)
    assert (await tell(stack, "can we restrict clients in nginx")).solution_id != first.solution_id


async def test_learning_does_not_wait_for_the_endpoint(
    meaning: Stack, endpoint: ToyEndpoint
) -> None:
    endpoint.status = 500
    first = await tell(meaning, drain=False)
    again = await tell(meaning, drain=False)
    assert first.solution_id == again.solution_id
    (row,) = await solutions(meaning)
    assert row["vector_model"] is None
    endpoint.status = 200
    await meaning.indexer.drain()
    assert (await tell(meaning)).solution_id == first.solution_id


async def test_vectors_follow_the_model(meaning: Stack) -> None:
    first = await tell(meaning)
    async with meaning.postgres.transaction() as conn:
        await conn.execute("update solutions set vector_model = 'of yesterday'")
    again = await tell(meaning, "can we restrict clients in nginx")
    assert again.solution_id == first.solution_id
    (row,) = await solutions(meaning)
    assert row["vector_model"] == "toy"


async def test_learning_does_not_wait_for_the_index(settings: Settings) -> None:
    away = Qdrant(url="http://127.0.0.1:1")
    async with open_stack(structs.replace(settings, qdrant=away), index=False) as stack:
        first = await tell(stack, drain=False)
        again = await tell(stack, "How do I limit requests in nginx?", drain=False)
        assert first.solution_id == again.solution_id
        with pytest.raises(UnavailableError):
            await stack.coordinator.augment.augment(LOCAL_OPERATOR, AugmentQuery(question="x"))


async def test_an_idempotency_key_is_good_for_one_content(stack: Stack) -> None:
    new = NewInteraction(
        question=QUESTION, response=ANSWER, outcome="success", idempotency_key="one"
    )
    record = stack.coordinator.interactions.record
    first = await record(LOCAL_OPERATOR, new)
    again = await record(LOCAL_OPERATOR, new)
    assert (first.created, again.created) == (True, False)
    assert first.interaction == again.interaction
    with pytest.raises(ConflictError):
        await record(LOCAL_OPERATOR, structs.replace(new, response=OTHER_ANSWER))
    assert (await record(bound_to(COLLECTION), new)).created, "keys share their idempotency keys"
    assert (await solutions(stack))[0]["successes"] == 2


async def test_two_at_once_make_one(stack: Stack) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(lambda: tell(stack, drain=False))
        for _ in range(3):
            tasks.start_soon(lambda: tell(stack, drain=False, idempotency_key="same"))
    (row,) = await solutions(stack)
    assert row["successes"] == 7
    assert len(await rows(stack, "select 1 from interactions")) == 7


async def test_outcomes_at_once_are_counted_once(stack: Stack) -> None:
    made = await tell(stack, outcome=None)
    told = stack.coordinator.interactions.set_outcome
    async with anyio.create_task_group() as tasks:
        for outcome in ("success", "failure", "success", "partial", "success", "success"):
            new = NewOutcome(outcome=outcome)  # type: ignore[arg-type]
            tasks.start_soon(told, LOCAL_OPERATOR, made.id, new)
    found = await solutions(stack)
    last = (await rows(stack, "select outcome from interactions"))[0]["outcome"]
    for row in found:
        counted = {n: row[n] for n in ("successes", "partials", "failures")}
        assert sum(counted.values()) == 1
        assert counted[{"success": "successes"}.get(last, f"{last}s")] == 1
    assert len(found) == 1


async def test_a_solution_in_the_trash_is_not_strengthened(stack: Stack) -> None:
    first = await tell(stack)
    async with stack.postgres.transaction() as conn:
        (row,) = await (
            await conn.execute("update solutions set deleted_at = now() returning document_id")
        ).fetchall()
        await stack.documents.delete_within(conn, COLLECTION, [row["document_id"]])
    await stack.indexer.drain()
    with pytest.raises(NotFoundError):
        await stack.coordinator.solutions.get(LOCAL_OPERATOR, first.solution_id)
    again = await tell(stack)
    assert again.solution_id not in (None, first.solution_id)


async def test_a_document_that_someone_deleted_comes_back(stack: Stack) -> None:
    first = await tell(stack)
    solution = await stack.coordinator.solutions.get(LOCAL_OPERATOR, first.solution_id)
    await stack.documents.delete(LOCAL_OPERATOR, solution.document_id)
    assert (await tell(stack)).solution_id == first.solution_id
    solution = await stack.coordinator.solutions.get(LOCAL_OPERATOR, first.solution_id)
    assert (await stack.documents.get(LOCAL_OPERATOR, solution.document_id)).indexed


async def test_a_key_without_the_collection_learns_and_sees_nothing(stack: Stack) -> None:
    made = await tell(stack)
    other = bound_to("nixos_docs")
    parts = stack.coordinator
    assert (await parts.solutions.list(other, SolutionQuery())).solutions == []
    for call in (
        parts.solutions.get(other, made.solution_id),
        parts.solutions.pin(other, made.solution_id, pinned=True),
        parts.interactions.get(other, made.id),
        parts.interactions.set_outcome(other, made.id, NewOutcome(outcome="failure")),
    ):
        with pytest.raises(NotFoundError):
            await call
    found = await parts.augment.augment(other, AugmentQuery(question=QUESTION))
    assert found.sources == []
    assert (await parts.stats(other)).solutions is None
    assert (await parts.stats(other)).interactions.total == 0
    own = await tell(stack, principal=other)
    assert own.solution_id is None
    assert own.parts is not None
    assert own.parts.novelty == 1, "it tells of solutions that the key may not know of"
    assert (await solutions(stack))[0]["successes"] == 1
    assert (await parts.interactions.get(other, own.id)).id == own.id
    assert (await parts.interactions.get(LOCAL_OPERATOR, own.id)).id == own.id


async def test_what_cannot_be_kept_is_refused(stack: Stack) -> None:
    for bad in ({"question": " "}, {"response": "\n"}, {"outcome": None, "feedback": 1.0}):
        with pytest.raises(InvalidError):
            await tell(stack, **bad)
    with pytest.raises(ScreenedError):
        await tell(stack, response="-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEA" * 20)
    assert await rows(stack, "select 1 from interactions") == []


async def test_solutions_are_listed_and_pinned(stack: Stack) -> None:
    for number in range(5):
        text = f"word{number} thing{number} about{number}"
        await tell(stack, f"how {text}", f"so {text}", drain=False, tags=[f"t{number % 2}"])
    parts = stack.coordinator.solutions
    first = await parts.list(LOCAL_OPERATOR, SolutionQuery(limit=3))
    assert first.has_more
    rest = await parts.list(LOCAL_OPERATOR, SolutionQuery(limit=3, cursor=first.next_cursor))
    assert not rest.has_more
    both = [s.question for s in (*first.solutions, *rest.solutions)]
    assert both == [f"how word{n} thing{n} about{n}" for n in (4, 3, 2, 1, 0)]
    assert len((await parts.list(LOCAL_OPERATOR, SolutionQuery(tag="t1"))).solutions) == 2
    assert (await parts.list(LOCAL_OPERATOR, SolutionQuery(min_value=0.99))).solutions == []
    pinned = await parts.pin(LOCAL_OPERATOR, first.solutions[0].id, pinned=True)
    assert pinned.pinned
    found = await parts.list(LOCAL_OPERATOR, SolutionQuery(pinned=True))
    assert [s.id for s in found.solutions] == [pinned.id]
    assert not (await parts.pin(LOCAL_OPERATOR, pinned.id, pinned=False)).pinned
    stats = (await stack.coordinator.stats(LOCAL_OPERATOR)).solutions
    assert stats is not None
    assert (stats.total, stats.pinned, stats.merged) == (5, 0, 0)
    with pytest.raises(InvalidError):
        await parts.list(LOCAL_OPERATOR, SolutionQuery(cursor="x"))
