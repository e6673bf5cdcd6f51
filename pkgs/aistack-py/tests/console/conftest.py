from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from visitor import Browser, browsing

from aistack.settings.schema import RateLimits, Settings
from aistack.wiring import Stack, open_stack


@pytest.fixture
async def stack(settings: Settings) -> AsyncIterator[Stack]:
    own = msgspec.structs.replace(settings, rate_limits=RateLimits(per_minute=1000, per_hour=9000))
    async with open_stack(own, index=False) as opened:
        yield opened


@pytest.fixture
async def browser(stack: Stack) -> AsyncIterator[Browser]:
    async with browsing(stack) as one:
        yield one
