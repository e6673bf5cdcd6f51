"""The coordinator's parts, built together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aistack.access.model import Principal
from aistack.coordinator.augment import Augment
from aistack.coordinator.interactions import Interactions
from aistack.coordinator.model import Stats
from aistack.coordinator.sessions import Sessions
from aistack.coordinator.similarity import Nearest
from aistack.coordinator.solutions import Solutions
from aistack.coordinator.stats import read_stats
from aistack.coordinator.training import Training
from aistack.coordinator.uses import Uses
from aistack.kit.signing import Signer
from aistack.knowledge.documents import Documents
from aistack.knowledge.embed import Embedder
from aistack.knowledge.search import Search
from aistack.monitoring.learning import LearningMetrics
from aistack.monitoring.metrics import Metrics
from aistack.screening.screen import Screen
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres
from aistack.stores.redis import Redis


@dataclass(frozen=True)
class Coordinator:
    """All parts, ready to use."""

    interactions: Interactions
    solutions: Solutions
    augment: Augment
    sessions: Sessions
    training: Training
    uses: Uses
    postgres: Postgres

    async def stats(self, principal: Principal) -> Stats:
        """What was recorded and learned, as far as the caller may know."""
        return await read_stats(self.postgres, principal)


@asynccontextmanager
async def open_coordinator(
    settings: Settings,
    postgres: Postgres,
    redis: Redis,
    documents: Documents,
    search: Search,
    embedder: Embedder,
    signer: Signer,
    metrics: Metrics,
    screen: Screen,
) -> AsyncIterator[Coordinator]:
    """Build the parts on stores that are open; what was counted is written at the end."""
    counted = LearningMetrics(metrics.registry)
    nearest = Nearest(postgres, search, embedder, settings)
    sessions = Sessions(postgres, redis, settings.learning, signer)
    solutions = Solutions(postgres, documents, nearest, settings.learning, signer, counted)
    uses = Uses(postgres, settings.learning)
    try:
        yield Coordinator(
            interactions=Interactions(
                postgres, solutions, nearest, sessions, settings, counted, screen
            ),
            solutions=solutions,
            augment=Augment(postgres, search, nearest, sessions, uses, settings, counted),
            sessions=sessions,
            training=Training(postgres, signer),
            uses=uses,
            postgres=postgres,
        )
    finally:
        await uses.close()
