"""The composition root: builds every part once, opens and closes them in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from aistack.access.keys import Keys
from aistack.backup.metrics import BackupMetrics
from aistack.backup.store import Memory
from aistack.coordinator.parts import Coordinator, open_coordinator
from aistack.coordinator.trash import Trash
from aistack.gc.collector import Collector
from aistack.gc.metrics import GcMetrics
from aistack.health.board import Board
from aistack.health.model import Check
from aistack.health.probes import probes
from aistack.issues.origin import generation
from aistack.issues.tracker import Tracker
from aistack.jobs.ledger import Ledger
from aistack.jobs.metrics import JobMetrics
from aistack.kit import tasks
from aistack.kit.signing import Signer
from aistack.knowledge.collections import Collections
from aistack.knowledge.documents import Documents
from aistack.knowledge.embed import Embedder
from aistack.knowledge.generations import Generations
from aistack.knowledge.indexer import Indexer
from aistack.knowledge.search import Search
from aistack.knowledge.vectors import Vectors
from aistack.limits.limiter import Limiter
from aistack.migrations.instance import cursor_key
from aistack.monitoring.health import HealthMetrics
from aistack.monitoring.metrics import Metrics
from aistack.monitoring.process import ProcessMetrics
from aistack.monitoring.stored import StoredMetrics
from aistack.screening.screen import Screen
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres
from aistack.stores.qdrant import Qdrant
from aistack.stores.redis import Redis


@dataclass(frozen=True)
class Stack:
    """All parts, ready to use."""

    settings: Settings
    postgres: Postgres
    qdrant: Qdrant
    redis: Redis
    documents: Documents
    collections: Collections
    search: Search
    vectors: Vectors
    generations: Generations
    indexer: Indexer
    keys: Keys
    coordinator: Coordinator
    collector: Collector
    tracker: Tracker
    limiter: Limiter
    metrics: Metrics
    stored_metrics: tuple[StoredMetrics[Any], ...]
    """Those that PostgreSQL keeps."""
    health: Board
    """What is known of the dependencies; watched only where the stack serves."""


@asynccontextmanager
async def open_stack(
    settings: Settings,
    *,
    index: bool = True,
    service: Literal["aidb", "coordinator"] = "aidb",
) -> AsyncIterator[Stack]:
    """Open everything; with ``index`` the indexer works and health is watched in the background.

    ``service`` is the one that opens it.

    The database must be migrated (`aistack migrate`).

    Raises:
        UnavailableError: the database does not answer, or `aistack migrate` is due.
    """
    async with AsyncExitStack() as resources:
        metrics = Metrics()
        postgres = Postgres(settings.postgres, metrics.pool)
        await postgres.open()
        resources.push_async_callback(postgres.close)
        secret = await cursor_key(postgres)
        signer = Signer(secret)
        limiter = Limiter(settings.rate_limits, settings.redis, metrics, secret)
        resources.push_async_callback(limiter.close)
        if index:  # a service; a command takes a connection or two
            section = settings.coordinator if service == "coordinator" else settings.aidb
            await postgres.check_capacity(section.workers * section.instances)
        qdrant = Qdrant(settings.qdrant)
        resources.push_async_callback(qdrant.close)
        redis = Redis(settings.redis)
        await redis.open()
        resources.push_async_callback(redis.close)
        embedder = Embedder(settings.embeddings, redis)
        await embedder.open()
        resources.push_async_callback(embedder.close)

        screen = Screen(settings.validation, metrics)
        vectors = Vectors(qdrant)
        generations = Generations(postgres, embedder, settings.qdrant.prefix)
        collections = Collections(postgres, settings)
        await collections.ensure()
        await generations.ensure()
        documents = Documents(postgres, settings, signer, screen)
        search = Search(postgres, vectors, embedder, settings, signer, metrics, screen)
        coordinator = await resources.enter_async_context(
            open_coordinator(
                settings, postgres, redis, documents, search, embedder, signer, metrics, screen
            )
        )
        indexer = Indexer(postgres, vectors, embedder, generations, metrics)

        def changed(name: str, check: Check) -> None:
            if name == "qdrant":
                qdrant.broken = check.status == "fail"

        health_metrics = HealthMetrics(metrics.registry)
        installed = generation()
        process = ProcessMetrics(metrics.registry, installed.number if installed else None)
        board = Board(
            service,
            probes(
                settings,
                postgres=postgres,
                qdrant=qdrant,
                redis=redis,
                embeddings=embedder.ping if embedder.enabled else None,
                backlog=indexer.lag,
                metrics=health_metrics,
                backup_age=lambda: Memory(postgres).age_s(list(settings.backup.repositories)),
            ),
            settings.health,
            health_metrics,
            changed,
            process.sample,
        )
        tracker = Tracker(settings, postgres, signer)
        stack = Stack(
            settings=settings,
            postgres=postgres,
            qdrant=qdrant,
            redis=redis,
            documents=documents,
            collections=collections,
            search=search,
            vectors=vectors,
            generations=generations,
            indexer=indexer,
            keys=Keys(postgres),
            coordinator=coordinator,
            collector=Collector(
                postgres, vectors, documents, Trash(documents, settings.learning), settings.gc
            ),
            tracker=tracker,
            limiter=limiter,
            metrics=metrics,
            stored_metrics=(
                JobMetrics(Ledger(postgres)),
                GcMetrics(postgres),
                BackupMetrics(settings.backup, postgres),
                tracker.metrics,
            ),
            health=board,
        )
        if index:
            await resources.enter_async_context(board.running())
            task = asyncio.create_task(stack.indexer.run(), name="indexer")
            resources.push_async_callback(tasks.end, task)
            await resources.enter_async_context(tracker.keeping())
        yield stack
