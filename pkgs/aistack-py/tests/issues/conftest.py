from collections.abc import AsyncIterator

import pytest

from aistack.issues.store import Issues
from aistack.kit.signing import Signer
from aistack.settings import schema
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def postgres(settings: Settings) -> AsyncIterator[Postgres]:
    opened = Postgres(settings.postgres)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def issues(postgres: Postgres) -> Issues:
    return Issues(postgres, Signer(b"secret"), schema.Issues(occurrences=5), announce=True)
