"""The values of the coordinator; frozen, and the same in HTTP and MCP."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct, field

from aistack.coordinator.value import Parts
from aistack.knowledge.model import Mode
from aistack.settings.names import Identifier

COLLECTION = "solved_issues"
"""The collection whose documents make solutions searchable."""
PROJECT = "solutions"
"""The project of those documents; each has the path ID.md."""

Outcome = Literal["success", "partial", "failure"]
Feedback = Annotated[float, Meta(ge=-1, le=1)]
Tag = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/+-]*$(?!\n)")
]
Tags = Annotated[list[Tag], Meta(max_length=16)]
Name = Annotated[str, Meta(max_length=200)]
SessionName = Annotated[str, Meta(min_length=1, max_length=200)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Text = Annotated[str, Meta(min_length=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
PageLimit = Annotated[int, Meta(ge=1, le=100)]
Cursor = Annotated[str, Meta(max_length=512)]


class NewInteraction(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was asked and answered, to be recorded."""

    question: Text
    response: Text
    outcome: Outcome | None = None
    """Where it is known at once; else it is told later."""
    feedback: Feedback | None = None
    """-1 to 1; only with an outcome."""
    session: SessionName | None = None
    agent: Name = ""
    model: Name = ""
    tags: Tags = field(default_factory=list)
    context_ids: Annotated[list[UUID], Meta(max_length=100)] = field(default_factory=list)
    """Ids of the sources, as augment gave them, that the answer was made with."""
    tokens: Count | None = None
    latency_ms: Count | None = None
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    """The same key and content again is the same interaction; another content is a conflict."""


class NewOutcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an interaction ended; takes the place of what was told before."""

    outcome: Outcome
    feedback: Feedback | None = None


class Interaction(Struct, frozen=True, kw_only=True):
    """A recorded interaction."""

    id: UUID
    created_at: datetime
    session: str | None
    question: str
    response: str
    agent: str
    model: str
    tags: list[str]
    context_ids: list[UUID]
    tokens: int | None
    latency_ms: int | None
    outcome: Outcome | None
    feedback: float | None
    outcome_at: datetime | None
    value: float | None
    """The score, 0 to 1; null: no outcome is known."""
    parts: Parts | None
    solution_id: UUID | None
    """The solution that it became or strengthened; null also where the key may not know."""


class SolutionInfo(Struct, frozen=True, kw_only=True):
    """A solution without its answer."""

    id: UUID
    question: str
    tags: list[str]
    value: float
    successes: int
    partials: int
    failures: int
    uses: int
    """How often augment served it."""
    last_used_at: datetime | None
    pinned: bool
    created_at: datetime
    updated_at: datetime


class Solution(SolutionInfo, frozen=True, kw_only=True):
    """A solution."""

    answer: str
    examples: list[str]
    """Other questions that came back to it, newest first; long ones are cut."""
    parts: Parts
    feedback_sum: float
    feedback_count: int
    document_id: UUID | None
    """The document that search finds it by."""


class SolutionQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which solutions to list."""

    min_value: Share = 0.0
    tag: Tag | None = None
    pinned: bool | None = None
    limit: PageLimit = 50
    cursor: Cursor | None = None


class SolutionPage(Struct, frozen=True):
    """A page of solutions, newest first."""

    solutions: list[SolutionInfo]
    has_more: bool
    next_cursor: str | None


class AugmentQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question that context is wanted for."""

    question: Text
    collections: Annotated[list[Identifier], Meta(max_length=8)] = field(default_factory=list)
    """Collections whose passages may be used, besides the solutions."""
    budget_tokens: Annotated[int, Meta(ge=64, le=200_000)] | None = None
    """Most tokens of the context; null: learning.token_budget."""
    session: SessionName | None = None
    """A conversation of this key: its newest turns come first in the context."""
    mode: Mode = "auto"
    min_score: Share = 0.2
    """Solutions and passages with a lower similarity are left out."""


class Source(Struct, frozen=True, kw_only=True):
    """A part of the context, and where it comes from."""

    kind: Literal["turn", "solution", "passage"]
    id: UUID
    """Of the interaction, the solution or the passage."""
    document_id: UUID | None
    collection: str | None
    title: str
    score: float
    """Similarity to the question, 0 to 1; of a turn 0."""
    value: float | None
    """The value of a solution."""
    rank: float
    """What the order comes from: score weighed by value."""
    tokens: int
    truncated: bool


class Route(Struct, frozen=True):
    """Whether a local model is enough, with this context."""

    target: Literal["local", "remote"]
    confidence: float
    """0 to 1; at least the threshold is local."""
    threshold: float
    reason: str


class Augmentation(Struct, frozen=True, kw_only=True):
    """Context for a question."""

    context: str
    """Markdown; empty where nothing fits."""
    tokens: int
    """An estimate of the context's tokens, never above the budget."""
    budget_tokens: int
    sources: list[Source]
    """In the order of the context."""
    route: Route


class OutcomeCounts(Struct, frozen=True):
    """Interactions by outcome."""

    success: int
    partial: int
    failure: int
    unknown: int


class InteractionStats(Struct, frozen=True):
    """Of the interactions that the key may read."""

    total: int
    outcomes: OutcomeCounts
    sessions: int
    average_value: float | None
    average_feedback: float | None
    last_at: datetime | None


class SolutionStats(Struct, frozen=True):
    """Of the solutions; those in the trash count there alone."""

    total: int
    pinned: int
    in_trash: int
    average_value: float | None
    uses: int
    merged: int
    """Good interactions that came back to a solution that was there."""
    last_at: datetime | None


class Stats(Struct, frozen=True):
    """What was recorded and learned."""

    interactions: InteractionStats
    solutions: SolutionStats | None
    """Null: the key may not know of the solutions."""


class TrainingQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which interactions to export."""

    min_value: Share = 0.0
    outcome: Outcome | None = None
    since: Annotated[datetime, Meta(tz=True)] | None = None
    """Only those recorded at this time or later."""


class Message(Struct, frozen=True):
    """A turn, in the form that fine-tuning tools read."""

    role: Literal["user", "assistant"]
    content: str


class ExampleInfo(Struct, frozen=True, kw_only=True):
    """Where an example comes from, and what it is worth."""

    id: UUID
    created_at: datetime
    outcome: Outcome
    feedback: float | None
    value: float
    agent: str
    model: str
    tags: list[str]
    solution_id: UUID | None


class Example(Struct, frozen=True):
    """One line of training data."""

    messages: list[Message]
    metadata: ExampleInfo


class TrainingPageQuery(TrainingQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of the export, oldest first."""

    limit: Annotated[int, Meta(ge=1, le=50)] = 10
    cursor: Cursor | None = None


class ExamplePage(Struct, frozen=True):
    """A page of training data, oldest first."""

    examples: list[Example]
    has_more: bool
    next_cursor: str | None
