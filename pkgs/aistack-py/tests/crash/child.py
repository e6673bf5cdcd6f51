"""What the crash test kills: imports documents for ever, with the indexer in the background."""

from itertools import count

import anyio

from aistack.access.model import LOCAL_OPERATOR
from aistack.knowledge.model import NewDocument
from aistack.settings.schema import Settings
from aistack.wiring import open_stack

DOCUMENTS = 40


async def main(settings: Settings, kill: int, acknowledged: str) -> None:
    """Put 40 documents over and over; each acknowledged put is a line PATH=GENERATION."""
    async with open_stack(settings, index=True) as stack:
        for number in count():
            generation = kill * 1_000_000 + number
            path = f"{(kill * 7 + number) % DOCUMENTS}.md"
            document = NewDocument(path=path, source=text(number, generation).encode())
            await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", document)
            with open(acknowledged, "a") as file:  # noqa: PTH123, ASYNC230 - one short append
                file.write(f"{path}={generation}\n")


def text(number: int, generation: int) -> str:
    """One to four passages that all name the generation."""
    return "\n\n".join(
        f"common words of part {part} of document {number} generation{generation} " * 20
        for part in range(1 + generation % 4)
    )


def run(settings: Settings, kill: int, acknowledged: str) -> None:
    """A process of its own."""
    anyio.run(main, settings, kill, acknowledged)
