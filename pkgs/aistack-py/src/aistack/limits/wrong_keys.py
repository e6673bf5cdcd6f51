"""Slows down an address that tries wrong keys, without locking out the right keys behind it.

No guessing is prevented here: a key's secret has 256 random bits. What is saved is the work of the
database and of the log.
"""

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from aistack.errors import RateLimitedError, UnauthenticatedError, UnavailableError
from aistack.limits.gcra import Clock, Rates
from aistack.limits.identity import of_address
from aistack.limits.limiter import Limiter, seconds

_AGAIN = 10
"""How many clients with a stale key an address may have: so often may its wrong keys be retried."""
_PATIENCE_S = 2.0
"""Longest wait of a key for those before it from the same address."""
P = TypeVar("P")


class _Door:
    """Where keys that are not known yet wait, a few of one address at a time."""

    def __init__(self, width: int) -> None:
        self.free = asyncio.Semaphore(width)
        self.users = 0


class WrongKeys:
    """The wall before the database.

    After so many wrong keys from an address, keys from there are refused without a look-up, until
    the rate allows another attempt. A key that was right before passes the wall (it is still
    verified): an attacker behind the same NAT or proxy cannot shut it out, since only its holder
    can present it. A key that this process never saw has to wait, as the attacker's next one has.

    What counts is how many *different* keys were wrong: a client that goes on trying its revoked
    key is refused by that key alone, and stands in nobody else's way.

    A wrong key is counted with all other workers. Who is behind the wall is noted in each process,
    so no request waits for Redis before its key is found wrong; a worker learns of the wall by its
    own next wrong key.
    """

    def __init__(self, limiter: Limiter, *, clock: Clock = time.monotonic) -> None:
        settings = limiter.settings
        self._limiter = limiter
        self._clock = clock
        self._rates = Rates.of(settings.wrong_keys_per_minute)
        self._again = Rates.of(_AGAIN * settings.wrong_keys_per_minute)
        self._width = settings.wrong_keys_per_minute
        self._most = settings.clients
        self._counts = limiter.local()
        self._walls: OrderedDict[str, float] = OrderedDict()
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._doors: dict[str, _Door] = {}
        self._salt = secrets.token_bytes(16)

    async def check(self, key: str, address: str, verify: Callable[[str], Awaitable[P]]) -> P:
        """Whom the key belongs to, as ``verify`` says, unless too many from there were wrong.

        Raises:
            RateLimitedError: the address is behind the wall; nothing was looked up.
            UnauthenticatedError: by ``verify``; counted.
            UnavailableError: by ``verify``; or too many keys of this address are being looked up.
        """
        digest = hashlib.blake2b(key.encode(), digest_size=16, key=self._salt).digest()
        if digest not in self._right:
            walls = [digest.hex(), address]
            if digest in self._wrong:
                walls.append("again:" + address)
            self._refuse_behind_wall(*walls)
            async with self._door(address):
                if digest not in self._right:
                    self._refuse_behind_wall(*walls)  # the wall may stand since
                    return await self._verify(key, digest, address, verify)
        return await self._verify(key, digest, address, verify)

    async def _verify(
        self, key: str, digest: bytes, address: str, verify: Callable[[str], Awaitable[P]]
    ) -> P:
        try:
            principal = await verify(key)
        except UnauthenticatedError:
            self._right.pop(digest, None)
            known = digest in self._wrong
            self._remember(self._wrong, digest)
            if known:
                await self._count(digest.hex(), "wrong:key:" + digest.hex(), self._rates)
                again = "wrong:again:" + of_address(address)
                await self._count("again:" + address, again, self._again)
            else:
                await self._count(address, "wrong:" + of_address(address), self._rates)
            raise
        self._remember(self._right, digest)
        return principal

    def _remember(self, table: "OrderedDict[bytes, None]", digest: bytes) -> None:
        table[digest] = None
        table.move_to_end(digest)
        if len(table) > self._most:
            table.popitem(last=False)

    async def _count(self, whom: str, identity: str, rates: Rates) -> None:
        found = await self._limiter.spend(identity, rates, self._counts)
        if found.retry_after_s > 0:
            self._walls[whom] = self._clock() + found.retry_after_s
            self._walls.move_to_end(whom)
            if len(self._walls) > self._most:
                self._walls.popitem(last=False)

    def _refuse_behind_wall(self, *whom: str) -> None:
        for one in whom:
            until = self._walls.get(one)
            if until is None:
                continue
            wait = until - self._clock()
            if wait <= 0:
                del self._walls[one]
                continue
            self._limiter.count("wrong_key")
            raise RateLimitedError("too many wrong keys from here", retry_after_s=seconds(wait))

    @asynccontextmanager
    async def _door(self, address: str) -> AsyncIterator[None]:
        # Else any number of wrong keys, sent at once, would be looked up before the first counts.
        door = self._doors.setdefault(address, _Door(self._width))
        door.users += 1
        try:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await door.free.acquire()
            except TimeoutError:
                raise UnavailableError("the key cannot be checked now") from None
            try:
                yield
            finally:
                door.free.release()
        finally:
            door.users -= 1
            if not door.users:
                del self._doors[address]
