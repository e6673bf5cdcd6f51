"""A worker process of test_shared: takes as often as it is told, and prints how many passed.

Arguments: URL, secret in hex, requests, limit a minute, limit an hour.
"""

import asyncio
import sys

from aistack.limits import shared
from aistack.limits.gcra import Rates
from aistack.limits.shared import SharedLimiter
from aistack.settings.schema import Redis


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main() -> None:
    url, secret, requests, minute, hour = sys.argv[1:]
    shared.LONGEST_WAIT_S = 60  # how many pass is asked, however busy the machine is
    limiter = SharedLimiter(Redis(url=url, timeout_s=60), bytes.fromhex(secret))
    rates = Rates.of(int(minute), int(hour))
    await limiter.take("warm-up", rates)
    tell("ready")
    sys.stdin.readline()
    found = await asyncio.gather(*(limiter.take("client", rates) for _ in range(int(requests))))
    tell(str(sum(decision.allowed for decision in found)))
    await limiter.close()


asyncio.run(main())
