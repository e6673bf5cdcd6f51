"""The coordinator's tools for agents: plain values, unaware of the MCP SDK."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct, structs

from aistack.access.model import Principal
from aistack.api.mcp_tools import Answer, NoInput, Tool
from aistack.coordinator.model import (
    Augmentation,
    AugmentQuery,
    ExamplePage,
    Interaction,
    NewInteraction,
    NewOutcome,
    Solution,
    SolutionPage,
    SolutionQuery,
    Stats,
    TrainingPageQuery,
)

if TYPE_CHECKING:
    from aistack.wiring import Stack

Q = TypeVar("Q", SolutionQuery, TrainingPageQuery)
P = TypeVar("P")


class OfInteraction(Struct, frozen=True, forbid_unknown_fields=True):
    """Which interaction."""

    id: UUID


class OutcomeOf(NewOutcome, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How which interaction ended."""

    id: UUID


class OfSolution(Struct, frozen=True, forbid_unknown_fields=True):
    """Which solution."""

    id: UUID


async def _record(stack: Stack, principal: Principal, wanted: NewInteraction) -> Answer:
    recorded = await stack.coordinator.interactions.record(principal, wanted)
    return _told(recorded.interaction, "recorded" if recorded.created else "known")


async def _set_outcome(stack: Stack, principal: Principal, wanted: OutcomeOf) -> Answer:
    outcome = NewOutcome(outcome=wanted.outcome, feedback=wanted.feedback)
    parts = stack.coordinator
    return _told(await parts.interactions.set_outcome(principal, wanted.id, outcome), "judged")


async def _get_interaction(stack: Stack, principal: Principal, wanted: OfInteraction) -> Answer:
    found = await stack.coordinator.interactions.get(principal, wanted.id)
    return Answer(found, f"{found.question}\n\n{found.response}")


def _told(interaction: Interaction, what: str) -> Answer:
    text = f"{what}: interaction {interaction.id}"
    if interaction.solution_id is not None:
        text += f", of solution {interaction.solution_id}"
    return Answer(interaction, text)


async def _fitting(wanted: Q, ask: Callable[[Q], Awaitable[P]], most_bytes: int) -> P:
    """A page of fewer entries, rather than a cut one whose cursor would skip what was cut off."""
    limit: int = wanted.limit
    while True:
        page = await ask(structs.replace(wanted, limit=limit))
        if limit == 1 or len(msgspec.json.encode(page)) <= most_bytes:
            return page
        limit //= 2


async def _list_solutions(stack: Stack, principal: Principal, wanted: SolutionQuery) -> Answer:
    page = await _fitting(
        wanted,
        lambda query: stack.coordinator.solutions.list(principal, query),
        stack.settings.limits.result_bytes // 2,
    )
    lines = [f"{len(page.solutions)} solutions, newest first."]
    lines += [
        f"{one.id} value {one.value:.2f}: {' '.join(one.question.split())[:200]}"
        for one in page.solutions
    ]
    if page.next_cursor:
        lines.append(f"More: cursor {page.next_cursor}")
    return Answer(page, "\n".join(lines))


async def _get_solution(stack: Stack, principal: Principal, wanted: OfSolution) -> Answer:
    found = await stack.coordinator.solutions.get(principal, wanted.id)
    return Answer(found, f"{found.question}\n\n{found.answer}")


async def _pin(stack: Stack, principal: Principal, wanted: OfSolution) -> Answer:
    found = await stack.coordinator.solutions.pin(principal, wanted.id, pinned=True)
    return Answer(found, f"pinned solution {found.id}")


async def _unpin(stack: Stack, principal: Principal, wanted: OfSolution) -> Answer:
    found = await stack.coordinator.solutions.pin(principal, wanted.id, pinned=False)
    return Answer(found, f"unpinned solution {found.id}")


async def _augment(stack: Stack, principal: Principal, wanted: AugmentQuery) -> Answer:
    found = await stack.coordinator.augment.augment(principal, wanted)
    ids = ", ".join(str(source.id) for source in found.sources) or "none"
    head = f"Route: {found.route.target} ({found.route.reason}). context_ids: {ids}"
    return Answer(found, f"{head}\n\n{found.context}" if found.context else head)


async def _stats(stack: Stack, principal: Principal, _wanted: NoInput) -> Answer:
    found = await stack.coordinator.stats(principal)
    text = f"{found.interactions.total} interactions"
    if found.solutions is not None:
        text += f", {found.solutions.total} solutions"
    return Answer(found, text)


async def _training(stack: Stack, principal: Principal, wanted: TrainingPageQuery) -> Answer:
    page = await _fitting(
        wanted,
        lambda query: stack.coordinator.training.page(principal, query),
        stack.settings.limits.result_bytes,
    )
    more = f" More: cursor {page.next_cursor}" if page.next_cursor else ""
    return Answer(page, f"{len(page.examples)} examples, oldest first.{more}")


TOOLS = (
    Tool(
        name="augment_query", title="Get context for a question", input=AugmentQuery,
        # It counts the uses of what it serves, and these are part of a solution's value.
        output=Augmentation, scope="read", read_only=False, destructive=False, idempotent=False,
        handler=_augment,
        text="Call this before you answer a question. It gives solutions that worked before and, "
        "from the named collections, passages, within a budget of tokens, and says whether a "
        "local model is enough. Keep the ids of the sources for record_interaction.",
    ),
    Tool(
        name="record_interaction", route="POST /v1/interactions",
        title="Record an interaction", input=NewInteraction,
        output=Interaction, scope="write", read_only=False, destructive=False, idempotent=False,
        handler=_record,
        text="Record a question and the answer that was given, with context_ids of the sources "
        "it was made with. Give the outcome if you know it, else tell it by set_outcome later. "
        "With an idempotency_key the call can be repeated.",
    ),
    Tool(
        name="set_outcome", route="POST /v1/interactions/{id}/outcome",
        title="Tell how an interaction ended", input=OutcomeOf,
        output=Interaction, scope="write", read_only=False, destructive=True, handler=_set_outcome,
        text="Tell whether an answer worked: success, partial or failure, and the user's feedback "
        "from -1 to 1. It takes the place of what was told before. A success becomes a solution.",
    ),
    Tool(
        name="get_interaction", title="Read an interaction", input=OfInteraction,
        output=Interaction, scope="read", read_only=True, handler=_get_interaction,
        text="Read a recorded interaction by its id.",
    ),
    Tool(
        name="list_solutions", title="List solutions", input=SolutionQuery, output=SolutionPage,
        scope="read", read_only=True, handler=_list_solutions,
        text="List what was learned, newest first, a page at a time.",
    ),
    Tool(
        name="get_solution", title="Read a solution", input=OfSolution, output=Solution,
        scope="read", read_only=True, handler=_get_solution,
        text="Read a solution with its answer by its id.",
    ),
    Tool(
        name="pin_solution", route="POST /v1/solutions/{id}/pin",
        title="Pin a solution", input=OfSolution, output=Solution,
        scope="write", read_only=False, destructive=False, handler=_pin,
        text="Keep a solution from garbage collection.",
    ),
    Tool(
        name="unpin_solution", route="DELETE /v1/solutions/{id}/pin",
        title="Unpin a solution", input=OfSolution, output=Solution,
        # Unpinned, it may be collected.
        scope="write", read_only=False, destructive=True, handler=_unpin,
        text="Leave a solution to garbage collection again.",
    ),
    Tool(
        name="get_stats", title="Numbers", input=NoInput, output=Stats, scope="read",
        read_only=True, handler=_stats,
        text="How many interactions were recorded and solutions learned, and how good they are.",
    ),
    Tool(
        name="get_training_data", title="Read training data", input=TrainingPageQuery,
        output=ExamplePage, scope="admin", read_only=True, handler=_training,
        text="Read judged interactions as examples for fine-tuning, oldest first, a page at a "
        "time. The whole export is GET /v1/training-data.",
    ),
)  # fmt: skip
