"""Hits a whole stack while it is used: CONFIG SEED SECONDS. Exit code 1 if anything was wrong.

CONFIG is a JSON file: `domain`, `ca`, `key_file`, `prometheus`, `alertmanager`, `ports`, `services`, `units`,
`qdrant`, `qdrant_key_file`. The seed repeats the order of faults and what they hit, not their times.
"""

import asyncio
import itertools
import json
import random
import ssl
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from client import DEADLINE_S, Client
from faults import Fault, few, one_of_each
from judge import Stores, eventually, judge
from load import Load
from model import Model
from sabotage import unseen
from watch import Watch, issues, lacking, now

TELLS_S = 120.0
"""Longest time until an alert fires."""
RECOVERS_S = 180.0
"""Longest time from the end of a fault until all is well."""
TOLD_S = 2.5
"""An alert that Alertmanager has had for so long has been sent on, as its group_wait is 1 s."""
LOOK_S = 0.5


async def suffer(
    fault: Fault, watch: Watch, client: Client, model: Model, alerts: set[tuple[str, str]]
) -> dict[str, Any]:
    """Let one fault happen until its alert has fired, and wait until all is well again."""
    # One that looks back may fire still; then it must tell of more than before.
    firing = await watch.firing(fault.alert, fault.labels)
    before = max((value for _, value, _ in firing), default=0.0)
    begin, start = now(), time.monotonic()
    client.edge_is_down = fault.at_the_edge
    await fault.strike()
    fired = told = None
    try:
        while fault.alert:
            elapsed = time.monotonic() - start
            for since, value, part in await watch.firing(fault.alert, fault.labels):
                if fired is None and (value > before + 0.5 if fault.lingers else since >= begin):
                    fired = elapsed
                    alerts.add((fault.alert, part))
            if fired and told is None and await watch.handed_on(fault.alert, fault.labels):
                told = elapsed
            if told is not None and elapsed >= told + TOLD_S:
                break
            if told is None and elapsed > TELLS_S:
                seen = "is not at Alertmanager" if fired else "did not fire"
                model.wrong(f"{fault.name}: {fault.alert} {fault.labels} {seen}")
                break
            await asyncio.sleep(LOOK_S)
            await fault.go_on()
    finally:
        await fault.heal()
    healed = time.monotonic()
    await eventually(f"{fault.name}: not well", watch.sick, model, RECOVERS_S)
    client.edge_is_down = False
    return {
        "fault": fault.name,
        "fired_s": fired and round(fired, 1),
        "lasted_s": round(healed - start, 1),
        "recovered_s": round(time.monotonic() - healed, 1),
    }


async def conduct(config: dict[str, Any], seed: int, seconds: float) -> Model:
    """The whole run: faults while there is load, then the judgement."""
    model = Model()
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    key = Path(config["key_file"]).read_text().strip()
    async with (
        httpx.AsyncClient(
            base_url=f"https://{config['domain']}",
            headers={"Authorization": f"Bearer {key}"},
            verify=ssl.create_default_context(cafile=config["ca"]),
            timeout=DEADLINE_S,
        ) as edge,
        httpx.AsyncClient() as here,
    ):
        client = Client(edge, model)
        services, units = tuple(config["services"]), tuple(config["units"])
        watch = Watch(here, config["prometheus"], config["alertmanager"], key, services, units)
        await eventually("not well at the start", watch.sick, model)
        stop, start, alerts = asyncio.Event(), time.monotonic(), set[tuple[str, str]]()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Load(client, model, seed, stop).run())
            async for fault in schedule(config["ports"], chance, seconds):
                told = await suffer(fault, watch, client, model, alerts)
                print(json.dumps(told), flush=True)
            stop.set()

        async def untold() -> list[str]:
            return lacking(alerts, await issues())

        await eventually("alerts without an issue", untold, model, 120)
        stores = Stores(config["qdrant"], config["qdrant_key_file"])
        await judge(client, model, stores)
        if not model.violations:
            for kind in await unseen(client, model, stores):
                model.wrong(f"the judge does not see it: {kind}")
    summary = {
        "seconds": round(time.monotonic() - start),
        "answers": dict(sorted(client.counts.items())),
        "longest_s": round(client.longest_s, 1),
        "documents": len(model.documents),
        "of_unknown_state": sum(not one.settled for one in model.documents),
        "interactions": len(model.lessons),
        "reports": sum(one.acknowledged for one in model.reports),
    }
    print(json.dumps(summary), flush=True)
    return model


async def schedule(
    ports: dict[str, int], chance: random.Random, seconds: float
) -> AsyncIterator[Fault]:
    """A few, or with a time all of them, and then further rounds until so many seconds are over."""
    start = time.monotonic()
    for turn in itertools.count():
        every = one_of_each(ports, chance)
        for _, fault in every if seconds else few(every):
            if turn and time.monotonic() - start > seconds:
                return
            await asyncio.sleep(chance.uniform(0, 1.5))
            yield fault
        if time.monotonic() - start > seconds:
            return


def main(config: str, seed: str, seconds: str) -> int:
    """Run, and say the seed first and last."""
    print(f"seed {seed}", flush=True)
    model = asyncio.run(conduct(json.loads(Path(config).read_text()), int(seed), float(seconds)))
    for one in model.violations:
        print(f"WRONG: {one}")
    print(f"seed {seed}: {len(model.violations)} wrong")
    return 1 if model.violations else 0


sys.exit(main(*sys.argv[1:]))
