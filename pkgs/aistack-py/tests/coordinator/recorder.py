"""What the kill test kills: records good interactions for ever, with the indexer at work."""

from itertools import count

import anyio

from aistack.access.model import LOCAL_OPERATOR
from aistack.coordinator.model import NewInteraction
from aistack.settings.schema import Settings
from aistack.wiring import open_stack

PROBLEMS = 12


async def main(settings: Settings, kill: int, acknowledged: str) -> None:
    """Each acknowledged interaction is a line with its id."""
    async with open_stack(settings, index=True) as stack:
        for number in count(kill * 5):
            name = f"problem{number % PROBLEMS}"
            new = NewInteraction(
                question=f"how is {name} {name}a {name}b solved",
                response=f"by {name}c {name}d {name}e and {name}f",
                outcome="success",
            )
            recorded = await stack.coordinator.interactions.record(LOCAL_OPERATOR, new)
            with open(acknowledged, "a") as file:  # noqa: PTH123, ASYNC230 - one short append
                file.write(f"{recorded.interaction.id}\n")


def run(settings: Settings, kill: int, acknowledged: str) -> None:
    """A process of its own."""
    anyio.run(main, settings, kill, acknowledged)
