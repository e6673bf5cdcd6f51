"""The one configuration schema: frozen, closed, with units in the names.

Secrets are never values here: ``*_file`` names a file, or a systemd credential as
``credential:NAME`` (looked up in ``$CREDENTIALS_DIRECTORY``).
"""

from typing import Annotated

from msgspec import Meta, field

from aistack.settings.names import Identifier
from aistack.settings.section import HttpUrl, Port, Positive, Seconds, Section
from aistack.settings.upkeep import (
    DEPENDENCIES as DEPENDENCIES,
    Backup as Backup,
    GarbageCollection as GarbageCollection,
    Health as Health,
    Host as Host,
    Issues as Issues,
    Notify as Notify,
    PostgresUpgrade as PostgresUpgrade,
    Repository as Repository,
    Retention as Retention,
    Tls as Tls,
    Tracing as Tracing,
)


class Server(Section, frozen=True, kw_only=True):
    """Where and how a service listens."""

    host: str = "127.0.0.1"
    port: Port = 8091
    workers: Positive = 1
    instances: Positive = 1
    """Services alike, this one among them, whose connections the database must have room for."""
    allowed_hosts: tuple[str, ...] = ()
    """Host headers taken besides loopback names; set it when a proxy keeps the client's Host."""
    allowed_origins: tuple[str, ...] = ()
    """Origin headers that MCP takes besides loopback ones."""
    drain_s: Annotated[float, Meta(ge=0, le=300)] = 0
    """After SIGTERM: not ready, but still served, for so long that balancers send no more."""
    shutdown_s: Annotated[int, Meta(ge=1)] = 20


class AidbServer(Server, frozen=True, kw_only=True):
    """Where and how AIDB listens."""

    console: bool = True
    """Whether it serves the status page at /console/, which takes admin keys alone."""


class CoordinatorServer(Server, frozen=True, kw_only=True):
    """Where and how the coordinator listens."""

    port: Port = 8092


class Postgres(Section, frozen=True, kw_only=True):
    """The source of truth."""

    dsn: str = "host=/run/postgresql dbname=aistack user=aistack"
    password_file: str | None = None
    pool_min: Annotated[int, Meta(ge=0)] = 1
    pool_max: Positive = 10
    timeout_s: Seconds = 5.0
    """Longest wait for a free connection, and for a new one."""
    waiting_max: Annotated[int, Meta(ge=0)] = 100
    """Most requests that wait for a connection; the next are refused at once. 0: no bound."""
    statement_timeout_s: Seconds = 30.0
    """Longest statement, and longest pause within a transaction."""


class Qdrant(Section, frozen=True, kw_only=True):
    """The index: a server by ``url``, or qdrant-client's local mode by ``path`` (demo, tests)."""

    url: HttpUrl | None = "http://127.0.0.1:6333"
    path: str | None = None
    api_key_file: str | None = None
    timeout_s: Seconds = 5.0
    prefix: Identifier = "aistack"
    """First part of the names of our Qdrant collections: two stacks can share a server."""


class Redis(Section, frozen=True, kw_only=True):
    """Optional shared cache; the stack works without it."""

    url: str | None = None
    password_file: str | None = None
    timeout_s: Seconds = 0.2


class Embeddings(Section, frozen=True, kw_only=True):
    """An OpenAI-compatible endpoint; without one, search is lexical."""

    endpoint: HttpUrl | None = None
    """Base URL that ends in /v1."""
    model: str = ""
    dimension: Annotated[int, Meta(ge=0, le=65536)] = 0
    api_key_file: str | None = None
    batch_size: Annotated[int, Meta(ge=1, le=2048)] = 32
    timeout_s: Seconds = 30.0
    query_timeout_s: Seconds = 5.0


class Chunking(Section, frozen=True, kw_only=True):
    """How documents are split, in characters."""

    size: Annotated[int, Meta(ge=200, le=20000)] = 1200
    overlap: Annotated[int, Meta(ge=0, le=5000)] = 150


class Limits(Section, frozen=True, kw_only=True):
    """Bounds on what is taken in."""

    query_bytes: Annotated[int, Meta(ge=16)] = 10 * 1024
    document_bytes: Annotated[int, Meta(ge=1024)] = 1024 * 1024
    body_bytes: Annotated[int, Meta(ge=1024)] = 2 * 1024 * 1024
    result_bytes: Annotated[int, Meta(ge=4096)] = 256 * 1024
    """Most text that one answer of a search carries."""


Action = Annotated[
    str,
    Meta(pattern="^(observe|reject)$", description="count and log it, or refuse the text"),
]


class Screening(Section, frozen=True, kw_only=True):
    """What is done about suspicious content, by kind.

    Text is data here, whatever it says: a detector protects nothing by itself, so most only count.
    """

    markup: Action = "observe"
    """HTML and script that a browser would run."""
    sql: Action = "observe"
    """Injected SQL."""
    traversal: Action = "observe"
    """Paths that climb out of their folder."""
    credentials: Action = "observe"
    """Keys, tokens and private keys."""
    injection: Action = "observe"
    """Phrases that give orders to a language model."""


class Validation(Section, frozen=True, kw_only=True):
    """Screening of what is asked and of what is stored."""

    questions: Screening = field(default_factory=Screening)
    documents: Screening = field(default_factory=lambda: Screening(credentials="reject"))


class RateLimits(Section, frozen=True, kw_only=True):
    """How much one key may ask, and how many wrong keys one address may try."""

    enabled: bool = True
    per_minute: Positive = 60
    per_hour: Positive = 1000
    query_weight: Positive = 1
    write_weight: Positive = 2
    bytes_per_weight: Annotated[int, Meta(ge=1024)] = 65536
    """A body costs one more for each so many bytes."""
    wrong_keys_per_minute: Positive = 5
    """Attempts with a wrong key from one address, before they are slowed down."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks whose X-Forwarded-For is believed, from its right end on."""
    without_redis: Annotated[str, Meta(pattern="^(local|deny)$")] = "local"
    """While Redis does not answer: limit in each process, or refuse what is limited."""
    deny_without_redis: tuple[str, ...] = ()
    """Routes (``DELETE /v1/documents/{id}``) that are refused while Redis does not answer."""
    clients: Annotated[int, Meta(ge=100)] = 10_000
    """Most clients that a process remembers by itself; the longest silent goes first."""


Weight = Annotated[float, Meta(ge=0, le=1000)]


class Weights(Section, frozen=True, kw_only=True):
    """What each part of the value score weighs; only their ratios matter."""

    outcome: Weight = 0.4
    feedback: Weight = 0.2
    reusability: Weight = 0.2
    complexity: Weight = 0.1
    novelty: Weight = 0.1


class Learning(Section, frozen=True, kw_only=True):
    """How the coordinator learns from interactions, and what it makes of them."""

    weights: Weights = field(default_factory=Weights)
    merge_similarity: Annotated[float, Meta(gt=0, le=1)] = 0.95
    """Question and answer must both be as similar for two solutions to be one."""
    route_confidence: Annotated[float, Meta(ge=0, le=1)] = 0.7
    """Confidence from which a question is for a local model."""
    token_budget: Annotated[int, Meta(ge=64, le=200_000)] = 2000
    """Most tokens of a context, where the request says nothing."""
    session_turns: Annotated[int, Meta(ge=1, le=200)] = 20
    session_bytes: Annotated[int, Meta(ge=1024, le=1024 * 1024)] = 32 * 1024
    """Most text of a session's turns; the oldest go first."""
    session_ttl_s: Positive = 24 * 3600


class CollectionOptions(Section, frozen=True, kw_only=True):
    """A declared collection."""

    description: str = ""


class Log(Section, frozen=True, kw_only=True):
    """What goes to standard error."""

    level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    format: Annotated[str, Meta(pattern="^(json|text)$")] = "json"


DEFAULT_COLLECTIONS: dict[str, CollectionOptions] = {
    "nixos_docs": CollectionOptions(description="NixOS and nixpkgs documentation"),
    "solved_issues": CollectionOptions(description="Problems met before, with their solutions"),
    "skill_embeddings": CollectionOptions(description="Descriptions of agent skills"),
    "telemetry_patterns": CollectionOptions(description="Patterns found in telemetry"),
    "system_registry": CollectionOptions(description="Hosts, services and their settings"),
    "tool_schemas": CollectionOptions(description="Tools and their input schemas"),
}


class Settings(Section, frozen=True, kw_only=True):
    """The whole configuration, one TOML table a section."""

    aidb: AidbServer = field(default_factory=AidbServer)
    coordinator: CoordinatorServer = field(default_factory=CoordinatorServer)
    learning: Learning = field(default_factory=Learning)
    gc: GarbageCollection = field(default_factory=GarbageCollection)
    postgres: Postgres = field(default_factory=Postgres)
    qdrant: Qdrant = field(default_factory=Qdrant)
    redis: Redis = field(default_factory=Redis)
    embeddings: Embeddings = field(default_factory=Embeddings)
    chunking: Chunking = field(default_factory=Chunking)
    limits: Limits = field(default_factory=Limits)
    validation: Validation = field(default_factory=Validation)
    rate_limits: RateLimits = field(default_factory=RateLimits)
    health: Health = field(default_factory=Health)
    host: Host = field(default_factory=Host)
    tls: Tls = field(default_factory=Tls)
    issues: Issues = field(default_factory=Issues)
    backup: Backup = field(default_factory=Backup)
    postgres_upgrade: PostgresUpgrade = field(default_factory=PostgresUpgrade)
    log: Log = field(default_factory=Log)
    tracing: Tracing = field(default_factory=Tracing)
    collections: dict[Identifier, CollectionOptions] = field(default_factory=dict)
    """Collections besides the six that always exist."""

    def all_collections(self) -> dict[str, CollectionOptions]:
        """The six default collections and the declared ones (which may redescribe a default)."""
        return {**DEFAULT_COLLECTIONS, **self.collections}
