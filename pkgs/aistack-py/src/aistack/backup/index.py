"""The index in a backup: a snapshot of every collection, and the way back into a server."""

import logging
from pathlib import Path

import msgspec

from aistack.backup.model import CollectionState, Sample
from aistack.errors import NotFoundError, UnavailableError
from aistack.stores.snapshots import Snapshots

log = logging.getLogger(__name__)

_BEFORE = "before.json"
"""Which snapshots lay on the server before ours: not ours to delete."""
_SAMPLES = 3
_ANSWER = 10


async def collect(snapshots: Snapshots, folder: Path) -> list[CollectionState]:
    """Fetch a snapshot of every collection into a folder; none of them stays on the server.

    A collection that goes meanwhile, as the old one of a rebuild does, is left out.

    Raises:
        UnavailableError: the server does not answer, or what came is not what it made.
    """
    names = await snapshots.collections()
    before = {name: await snapshots.names(name) for name in names}
    (folder / _BEFORE).write_bytes(msgspec.json.encode(before))
    found = []
    for name in names:
        try:
            found.append(await _collect(snapshots, name, folder))
        except UnavailableError:
            if name in await snapshots.collections():
                raise
            log.info("collection %s went while the backup ran", name)
    (folder / _BEFORE).unlink()
    return found


async def _collect(snapshots: Snapshots, name: str, folder: Path) -> CollectionState:
    samples = [
        Sample(point, await snapshots.nearest(name, point, _ANSWER))
        for point in await snapshots.some(name, _SAMPLES)
    ]
    points, schema = await snapshots.count(name), await snapshots.schema(name)
    made, promised = await snapshots.create(name)
    try:
        file = folder / f"{name}.snapshot"
        got = await snapshots.fetch(name, made, file)
    finally:
        await snapshots.remove(name, made)
    if promised is not None and promised != got:
        raise UnavailableError(f"the snapshot of {name} was damaged on its way; try again")
    return CollectionState(name, points, file.name, file.stat().st_size, got, samples, schema)


async def clear(snapshots: Snapshots, folder: Path) -> None:
    """Delete from the server what a killed run left there."""
    marker = folder / _BEFORE
    try:
        before = msgspec.json.decode(marker.read_bytes(), type=dict[str, list[str]])
    except (OSError, msgspec.DecodeError):
        return  # it made none, or had removed them
    there = await snapshots.collections()
    for name, theirs in before.items():
        if name in there:
            for left in sorted(set(await snapshots.names(name)) - set(theirs)):
                await snapshots.remove(name, left)
    marker.unlink()


async def restore(snapshots: Snapshots, states: list[CollectionState], folder: Path) -> None:
    """Put collections into a server, as they were.

    Raises:
        NotFoundError: a file is missing.
        UnavailableError: the server refuses one, or holds less of it than it should.
    """
    for state in states:
        file = folder / state.file
        if not file.is_file():
            raise NotFoundError(f"the backup has no snapshot of {state.name}")
        await snapshots.recover(state.name, file, state.sha256)


async def compare(snapshots: Snapshots, states: list[CollectionState]) -> list[str]:
    """What differs between a server and a record, in words; empty: nothing.

    The record counts a moment before its snapshot is made: points that the indexer brought in
    between are no loss.
    """
    wrong = []
    for state in states:
        points = await snapshots.count(state.name)
        if points < state.points:
            wrong.append(f"{state.name} has {points} points of {state.points}")
        for sample in state.samples:
            answer = await snapshots.nearest(state.name, sample.point, _ANSWER)
            common = len(set(answer) & set(sample.answer))
            if common < len(sample.answer) / 2:
                wrong.append(f"{state.name} answers otherwise for {sample.point}")
    return wrong
