"""An open stack on this test's own database and index."""

from collections.abc import AsyncIterator

import pytest

from aistack.settings.schema import Settings
from aistack.wiring import Stack, open_stack


@pytest.fixture
async def stack(settings: Settings) -> AsyncIterator[Stack]:
    async with open_stack(settings, index=False) as opened:
        yield opened
