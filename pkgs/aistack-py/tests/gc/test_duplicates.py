"""What says the same twice, by meaning or by words."""

from uuid import UUID

import numpy as np
import pytest
from stock import (
    NGINX,
    ZONE,
    findable,
    lenient,
    live,
    opened,
    plan,
    put,
    rows,
    run,
    run_deletes,
    trash,
)

from aistack.coordinator.trash import Seen
from aistack.gc.model import Step
from aistack.gc.tiers import duplicates
from aistack.knowledge.embed import pack
from aistack.settings.schema import Settings
from aistack.wiring import open_stack

pytestmark = pytest.mark.anyio


async def test_two_answers_to_one_question_are_no_duplicates(settings: Settings) -> None:
    """The original compared questions alone."""
    async with open_stack(lenient(settings), index=False) as stack:
        await put(stack, NGINX, ZONE)
        await put(stack, NGINX, "Put haproxy before it and count by a stick-table of addresses")
        assert not await run_deletes(stack)


async def test_a_reworded_question_with_the_same_answer_is_one(settings: Settings) -> None:
    """The original compared texts letter by letter."""
    async with open_stack(lenient(settings), index=False) as stack:
        best = await put(stack, NGINX, ZONE, value=0.9, successes=3, uses=5, used_days=9)
        other = await put(
            stack, "How can I limit nginx requests?", ZONE + ".",
            value=0.4, successes=2, uses=4, used_days=3, feedback_sum=1.5, feedback_count=2,
        )  # fmt: skip
        pinned = await put(stack, "unlike all others", "and so is this", pinned=True)
        made, (step,) = await plan(stack)
        assert (step.subject, step.keeper, step.reason) == (other, best, "duplicate")
        assert step.evidence["question"] >= 0.95
        assert made.tiers["duplicates"].discards == 1
        assert await live(stack) == {best, other, pinned}, "a plan changes nothing"
        await run(stack)
        assert await trash(stack) == {other: "duplicate"}
        (row,) = await rows(stack, "select * from solutions where id = %(id)s", id=best)
        assert (row["successes"], row["uses"]) == (5, 9)
        assert (row["feedback_sum"], row["feedback_count"]) == (1.5, 2)
        assert row["examples"] == ["How can I limit nginx requests?"]
        assert row["last_used_at"] is not None
        assert await findable(stack) == {f"{own}.md" for own in (best, pinned)}


async def test_duplicates_by_meaning(settings: Settings) -> None:
    one, near, far = [1.0, 0.0, 0.1], [1.0, 0.05, 0.1], [0.0, 1.0, 0.1]
    async with open_stack(lenient(settings), index=False) as stack:
        best = await put(stack, "a", "b", vectors=(one, one), value=0.8)
        twin = await put(stack, "c", "d", vectors=(near, near), value=0.7)
        await put(stack, "e", "f", vectors=(near, far), value=0.6)
        await put(stack, "g", "h", vectors=(far, near), value=0.6)
        pinned = await put(stack, "i", "j", vectors=(one, one), value=0.0, pinned=True)
        await run(stack)
        assert await trash(stack) == dict.fromkeys((best, twin), "duplicate")
        told = await rows(stack, "select subject, keeper, evidence from gc_deletions")
        assert {row["keeper"] for row in told} == {pinned}, "the pinned one is best of all"
        assert {row["subject"]: row["evidence"] for row in told} == {
            best: {"question": 1.0, "answer": 1.0, "value": 0.8},
            twin: {"question": 0.9988, "answer": 0.9988, "value": 0.7},
        }


async def test_vectors_of_another_length_are_another_kind(settings: Settings) -> None:
    """A model can keep its name and change its dimension: neither is compared with the other."""
    short, long = [1.0, 0.0], [1.0, 0.0, 0.0]
    async with open_stack(lenient(settings), index=False) as stack:
        kept = {
            await put(stack, "a", "b", vectors=(short, short), value=0.9),
            await put(stack, "c", "d", vectors=(long, long), value=0.9),
        }
        twins = {
            await put(stack, "e", "f", vectors=(short, short), value=0.6),
            await put(stack, "g", "h", vectors=(long, long), value=0.6),
        }
        await run(stack)
        assert await trash(stack) == dict.fromkeys(twins, "duplicate")
        assert await live(stack) == kept


async def test_what_is_like_a_duplicate_need_not_be_one(settings: Settings) -> None:
    """a ~ b and b ~ c, but not a ~ c: with b gone for a, c has nobody to go for."""
    a, b, c = [1.0, 0.0], [0.96, 0.28], [0.843, 0.538]
    async with open_stack(lenient(settings), index=False) as stack:
        kept = {
            await put(stack, "a", "a", vectors=(a, a), value=0.9),
            await put(stack, "c", "c", vectors=(c, c), value=0.5),
        }
        gone = {
            await put(stack, "b", "b", vectors=(b, b), value=0.7),
            await put(stack, "d", "d", vectors=(a, a), value=0.3),
        }
        await run(stack, full=True)
        assert await trash(stack) == dict.fromkeys(gone, "duplicate")
        assert await live(stack) == kept


async def test_only_new_ones_are_compared(settings: Settings) -> None:
    async with open_stack(lenient(settings), index=False) as stack:
        await put(stack, NGINX, ZONE, age_days=1)
        await run(stack)
        await rows(stack, "update solutions set answer = 'something else' returning id")
        old = await put(stack, NGINX, "something else", age_days=1, value=0.1)
        assert not await run_deletes(stack)
        new = await put(stack, NGINX, "something else", value=0.2)
        await rows(
            stack,
            "update solutions set created_at = now() + interval '1 s' where id = %(id)s"
            " returning id",
            id=new,
        )
        assert await run_deletes(stack) == 1
        assert set(await trash(stack)) == {new}
        assert await live(stack) & {old}
        assert (await run(stack, full=True)).tiers["duplicates"].discards == 1
    async with open_stack(lenient(settings, duplicate_similarity=0.9), index=False) as stack:
        _, steps = await plan(stack)
        assert not steps, "with another setting all are compared, and no other was alike"


@pytest.mark.parametrize(("least", "found"), [(0.96, 1), (0.961, 0)])
@pytest.mark.parametrize("turned", [False, True], ids=["answers", "questions"])
async def test_without_a_model_words_tell_how_alike_two_are(
    settings: Settings, least: float, found: int, turned: bool
) -> None:
    """Both sides must be as alike as that, and just as alike is enough."""
    same, one, other = "the same", "zebra " * 25, "zebra " * 24 + "lion " * 7  # a cosine of 24/25
    texts = [(one, same), (other, same)] if turned else [(same, one), (same, other)]
    async with open_stack(lenient(settings, duplicate_similarity=least), index=False) as stack:
        best = await put(stack, *texts[0], value=0.9)
        worse = await put(stack, *texts[1], value=0.123456, successes=3)
        made, steps = await plan(stack)
        query = "select value, updated_at, last_used_at from solutions where id = %(id)s"
        (row,) = await rows(stack, query, id=worse)
    alike = {"question": 0.96, "answer": 1.0} if turned else {"question": 1.0, "answer": 0.96}
    step = Step(
        tier="duplicates",
        action="discard",
        subject=worse,
        reason="duplicate",
        evidence=alike | {"value": 0.1235},
        seen=Seen.of(row),
        keeper=best,
    )
    assert steps == [step][:found]
    assert made.tiers["duplicates"].discards == found


async def test_of_two_the_better_one_stays(settings: Settings) -> None:
    """By value, then the last use, then who came first, then the id."""
    async with open_stack(lenient(settings), index=False) as stack:
        low, high = UUID(int=7), UUID(int=2**127)
        kept = {
            await put(stack, "by value", "1", value=0.7, age_days=3),
            await put(stack, "by use", "2", age_days=9, used_days=1),
            await put(stack, "by learning", "3", age_days=9, used_days=2),
            await put(stack, "by id", "4", age_days=4, own=low),
            await put(stack, "pinned", "5", value=0.1, age_days=9, pinned=True),
        }
        gone = {
            await put(stack, "by value", "1", value=0.6, age_days=1),
            await put(stack, "by use", "2", age_days=3, used_days=2),
            await put(stack, "by learning", "3", age_days=8, used_days=2),
            await put(stack, "by id", "4", age_days=4, own=high),
            await put(stack, "pinned", "5", value=0.9),
        }
        _, steps = await plan(stack)
        assert {step.subject for step in steps} == gone
        assert {step.keeper for step in steps} == kept


async def test_of_two_pinned_ones_both_stay(settings: Settings) -> None:
    async with open_stack(lenient(settings), index=False) as stack:
        for value in (0.9, 0.3):
            await put(stack, NGINX, ZONE, value=value, pinned=True)
        other = await put(stack, NGINX, ZONE, value=0.1)
        assert [step.subject for step in (await plan(stack))[1]] == [other]


async def test_past_the_allowance_the_next_run_goes_on(settings: Settings) -> None:
    async with opened(settings, max_fraction=0.2) as stack:
        for pair in range(5):
            await put(stack, f"question {pair}", "a", value=0.9)
            await put(stack, f"question {pair}", "a", value=0.3)
        made, steps = await plan(stack)
        report = made.tiers["duplicates"]
        assert (report.discards, report.held_back, len(steps)) == (2, 1, 2)
        assert made.compared_until is None
        assert [await run_deletes(stack) for _ in range(5)] == [2, 1, 1, 1, 0]
        assert (await plan(stack))[0].compared_until is not None


async def test_who_expires_keeps_no_duplicate(settings: Settings) -> None:
    async with open_stack(lenient(settings), index=False) as stack:
        old = await put(stack, NGINX, ZONE, value=0.4, age_days=99)
        young = await put(stack, NGINX, ZONE, value=0.3)
        await run(stack)
        assert await trash(stack) == {old: "expired"}
        assert await live(stack) == {young}


async def test_many_are_compared_page_by_page(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies of one solution lie on all pages, and in each batch of candidates."""
    monkeypatch.setattr(duplicates, "_PAGE", 3)
    monkeypatch.setattr(duplicates, "_TOGETHER", 2)
    monkeypatch.setattr(duplicates, "_CANDIDATES", 1)
    async with open_stack(lenient(settings), index=False) as stack:
        best = await put(stack, NGINX, ZONE, value=0.9)
        others = [await put(stack) for _ in range(4)]
        copies = [await put(stack, NGINX, ZONE, value=0.1 + n / 100) for n in range(9)]
        _, steps = await plan(stack)
        assert [step.subject for step in steps] == copies[::-1], "the better ones first"
        assert {step.keeper for step in steps} == {best}
        await run(stack)
        assert await live(stack) == {best, *others}


async def test_a_page_of_other_kinds_is_not_the_last(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_PAGE", 2)
    vector = [1.0, 0.0]
    async with open_stack(lenient(settings), index=False) as stack:
        await put(stack, NGINX, ZONE, value=0.9, own=UUID(int=1))
        for own in range(2, 6):
            await put(stack, vectors=(vector, vector), pinned=True, own=UUID(int=own))
        twin = await put(stack, NGINX, ZONE, value=0.3, own=UUID(int=6))
        assert [step.subject for step in (await plan(stack))[1]] == [twin]


async def test_texts_without_a_word_are_compared_too(settings: Settings) -> None:
    async with open_stack(lenient(settings), index=False) as stack:
        await put(stack, "?", "!", value=0.9)
        twin = await put(stack, "?", "!", value=0.3)
        await put(stack, "?", "?!", value=0.3)
        assert {step.subject for step in (await plan(stack))[1]} == {twin}


def row(question: list[float], answer: list[float]) -> dict[str, bytes]:
    return {"question_vector": pack(question), "answer_vector": pack(answer)}


def test_vectors_of_two_models_are_not_compared() -> None:
    """One can be embedded anew by another model after the kinds were told apart."""
    vectors = row([1.0, 0.0], [1.0, 0.0])
    one = {"id": UUID(int=1), "question": "a", "answer": "b", "vector_model": "toy"}
    other = {"id": UUID(int=2), "question": "c", "answer": "d", "vector_model": "new"}
    near = duplicates._compare(one | vectors, other | vectors)
    assert (near.id, near.question, near.answer) == (UUID(int=2), 0, 0)


def test_the_cosine_of_what_is_sketched_is_the_mean_of_both_sides() -> None:
    """However long the vectors of a model are; one of no length stays so."""
    long, short, none = [30.0, 40.0], [0.04, 0.03], [0.0, 0.0]
    made = duplicates._vectors([row(long, short), row(short, short), row(none, long)])
    assert made.dtype == np.float32
    cosines = made @ made.T
    assert cosines == pytest.approx(
        np.array([[1, 0.98, 0.48], [0.98, 1, 0.48], [0.48, 0.48, 0.5]]), abs=1e-6
    )


def test_words_are_hashed_to_signed_counts() -> None:
    """As alike as the words themselves, but for what falls together."""
    text = "duck moth lion monkey monkey seal"
    vector = duplicates._vector({"question": text, "question_vector": None}, "question")
    assert {int(place): vector[place] for place in vector.nonzero()[0]} == {
        71: 2,  # two of one sign fall together
        63: -1,
        48: 2 - 1,  # and two of both
    }
    texts = ["zebra " * 25, "zebra " * 24 + "lion " * 7, "wolf"]
    made = duplicates._vectors(
        [dict.fromkeys(("question_vector", "answer_vector"))
         | {"question": text, "answer": text} for text in texts]
    )  # fmt: skip
    assert made.shape == (3, 2 * 256)
    assert made @ made.T == pytest.approx(
        np.array([[1, 0.96, 0], [0.96, 1, 0], [0, 0, 1]]), abs=1e-6
    )
