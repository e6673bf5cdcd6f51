"""The database as the commands of backups meet it: as its superuser, and perhaps away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from aistack.cli.render import say
from aistack.errors import UnavailableError
from aistack.jobs.ledger import Job, Ledger, Run
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres


@asynccontextmanager
async def administrator(settings: Settings) -> AsyncIterator[Postgres]:
    """The database as its superuser."""
    own = msgspec.structs.replace(
        settings.postgres, dsn=settings.backup.dsn, password_file=None, pool_min=0, pool_max=2
    )
    postgres = Postgres(own)
    await postgres.open()
    try:
        yield postgres
    finally:
        await postgres.close()


@asynccontextmanager
async def noted(settings: Settings, job: Job) -> AsyncIterator[tuple[Run, Postgres | None]]:
    """A run in the ledger, where the database answers: repositories are read without it, too."""
    async with administrator(settings) as postgres:
        try:
            await postgres.ping()
        except UnavailableError as exc:
            say(f"{exc.detail}: what is found is not recorded")
            yield Run(), None
            return
        async with Ledger(postgres).run(job) as run:
            yield run, postgres
