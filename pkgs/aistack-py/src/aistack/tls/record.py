"""Records a run in the ledger, if it can be reached: a certificate does not wait for it."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal

import psycopg

from aistack.errors import AistackError
from aistack.jobs.ledger import Ledger, Run
from aistack.settings.schema import Postgres as PostgresSettings
from aistack.stores.postgres import Postgres

log = logging.getLogger(__name__)


@asynccontextmanager
async def recorded(
    settings: PostgresSettings, job: Literal["tls_renew", "tls_deploy"]
) -> AsyncIterator[Run]:
    """A run in the ledger; where the database is away, a line in the log says so."""
    async with AsyncExitStack() as stack:
        try:
            run = await stack.enter_async_context(Ledger(Postgres(settings)).run(job))
        except (AistackError, psycopg.Error) as exc:
            log.warning("this run is not recorded: %s", exc)
            run = Run()
        yield run
