"""The limiter that all workers and hosts share: one atomic call to Redis a decision."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from aistack.errors import UnavailableError
from aistack.kit import tasks
from aistack.limits.gcra import Decision, Rates
from aistack.settings import schema
from aistack.stores.redis import connect

PREFIX = "aistack:rate:"
LONGEST_WAIT_S = 0.25
"""Most that a request waits for Redis, whatever `redis.timeout_s` grants a cache."""
_BATCH = 256
"""Most decisions in one round trip: Redis serves nobody else meanwhile."""
_Command = tuple[str, int, int, int, int, int]

# `decide` of aistack.limits.gcra in Lua, in whole microseconds of Redis' own clock: the clocks of
# several hosts need not agree. Doubles hold such times exactly for centuries.
SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local weight = tonumber(ARGV[1])
local stored = redis.call('GET', KEYS[1])
local known = {0, 0}
if stored and #stored == 16 then
  known[1], known[2] = struct.unpack('<dd', stored)
end
local kept, moved, step, free, cost = {}, {}, {}, {}, {}
local mended, worst = false, 0
for i = 1, 2 do
  local limit, period = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  cost[i] = period / limit
  kept[i] = known[i]
  if kept[i] > now + period + 1 then
    kept[i] = now + period
    mended = true
  end
  step[i] = cost[i] * math.min(weight, limit)
  moved[i] = math.max(kept[i], now) + step[i]
  free[i] = now + period - moved[i]
  if free[i] < -1 and (worst == 0 or free[i] < free[worst]) then
    worst = i
  end
end
local function keep(state)
  local ahead = math.max(state[1], state[2]) - now
  redis.call('SET', KEYS[1], struct.pack('<dd', state[1], state[2]),
    'PX', math.max(1, math.ceil(ahead / 1000)))
end
if worst > 0 then
  if mended then
    keep(kept)
  end
  local wait = math.ceil(-free[worst])
  local left = math.floor((free[worst] + step[worst] + 1) / cost[worst])
  return {0, worst, left, wait, wait}
end
keep(moved)
local left = {math.floor((free[1] + 1) / cost[1]), math.floor((free[2] + 1) / cost[2])}
local tight = left[1] <= left[2] and 1 or 2
local retry = math.max(0, step[1] - free[1], step[2] - free[2])
local more = (left[tight] + 1) * cost[tight] - free[tight]
return {1, tight, left[tight], math.ceil(more), math.ceil(retry)}
"""
_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class SharedLimiter:
    """Asks Redis; requests that come while an answer is awaited go together in the next round trip.

    That keeps the waiting short under load, and it makes one silence enough: when a round trip
    fails, everybody who waits is told at once.

    Args:
        settings: where Redis is; ``url`` is set.
        secret: of the stack, the same for all who share: Redis gets no client's address or key
            id, but a keyed hash.
    """

    def __init__(self, settings: schema.Redis, secret: bytes) -> None:
        self._timeout_s = min(settings.timeout_s, LONGEST_WAIT_S)
        # A client of its own: what a slow cache does to its connections must not matter here.
        self._client = connect(settings, self._timeout_s)
        self._secret = hashlib.sha256(secret).digest()
        self._waiting: list[tuple[_Command, asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Close the connection; who still waits is told `UnavailableError`."""
        if self._sender is not None:
            await tasks.end(self._sender)
        self._fail([future for _, future in self._waiting])
        self._waiting = []
        await self._client.aclose()

    async def take(self, client: str, rates: Rates, weight: int = 1) -> Decision:
        """Decide about one request of a client.

        Raises:
            UnavailableError: Redis refuses, or was silent for `LONGEST_WAIT_S` or less. The request
                may be counted all the same.
        """
        short, long = rates
        command = (
            self._key(client),
            weight,
            short.limit,
            round(short.period_s * 1e6),
            long.limit,
            round(long.period_s * 1e6),
        )
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send(), name="rate-limiter")
        allowed, tight, left, more, retry = await future
        return Decision(rates[tight - 1], left, more / 1e6, retry / 1e6, allowed=bool(allowed))

    def _key(self, client: str) -> str:
        return (
            PREFIX + hashlib.blake2b(client.encode(), digest_size=16, key=self._secret).hexdigest()
        )

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            futures = [future for _, future in batch]
            try:
                async with asyncio.timeout(self._timeout_s):
                    answers = await self._ask([command for command, _ in batch])
                for future, answer in zip(futures, answers, strict=True):
                    if isinstance(answer, Exception):
                        self._fail([future], answer)
                    elif not future.done():  # a request that went away has cancelled its own
                        future.set_result(answer)
            except (RedisError, OSError) as exc:
                waiting, self._waiting = self._waiting, []
                self._fail([*futures, *(future for _, future in waiting)], exc)
            finally:
                self._fail(futures)  # whatever went wrong, nobody waits for ever

    async def _ask(self, commands: Sequence[_Command]) -> list[Any]:
        answers = await self._run("evalsha", _SHA, commands)
        missed = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if missed:  # Redis was restarted, or its scripts flushed; EVAL keeps the script again
            again = await self._run("eval", SCRIPT, [commands[i] for i in missed])
            for i, answer in zip(missed, again, strict=True):
                answers[i] = answer
        return answers

    async def _run(self, verb: str, script: str, commands: Sequence[_Command]) -> list[Any]:
        if len(commands) == 1:
            try:
                return [await getattr(self._client, verb)(script, 1, *commands[0])]
            except NoScriptError as exc:
                return [exc]
        async with self._client.pipeline(transaction=False) as pipe:
            for command in commands:
                getattr(pipe, verb)(script, 1, *command)
            return list(await pipe.execute(raise_on_error=False))

    @staticmethod
    def _fail(futures: list[asyncio.Future[Any]], cause: Exception | None = None) -> None:
        for future in futures:
            if not future.done():
                error = UnavailableError("the shared rate limiter does not answer")
                error.__cause__ = cause
                future.set_exception(error)
