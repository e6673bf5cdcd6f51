"""Long work: import, reindex."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aistack.access.model import LOCAL_OPERATOR
from aistack.cli import exits
from aistack.cli.context import command, json_option, settings_of
from aistack.cli.render import as_json, say, table
from aistack.errors import NotFoundError
from aistack.jobs.ledger import Ledger
from aistack.kit import tasks
from aistack.knowledge.collections import Collections
from aistack.knowledge.embed import Embedder
from aistack.knowledge.generations import Generations
from aistack.knowledge.intake import FileResult, Outcome, find_files, import_files
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres
from aistack.stores.redis import Redis
from aistack.wiring import Stack, open_stack

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

_LOOK_S = 0.2


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--collection", "-c", required=True, help="The collection to import into.")
@click.option("--project", default="default", show_default=True)
@click.option("--no-wait", is_flag=True, help="Do not wait until search answers with it all.")
@json_option
@click.pass_context
@command
async def ingest(
    ctx: click.Context,
    paths: tuple[Path, ...],
    collection: str,
    project: str,
    no_wait: bool,
    json_: bool,
) -> int:
    """Import files and folders; files that have not changed are passed over.

    What cannot be read, is empty, binary or too large is named, skipped, and gives exit code 3.
    Where there is no file at all the exit code is 5.
    """
    settings = settings_of(ctx)
    async with (
        Ledger(Postgres(settings.postgres)).run("ingest") as run,
        open_stack(settings, index=False) as stack,
    ):
        run.detail["collection"] = collection
        results = await import_paths(stack, list(paths), collection, project)
        if not results:
            named = ", ".join(map(str, paths))
            raise NotFoundError(
                f"no file to import in {named}: hidden ones, pictures and links that lead out of"
                " the folder are passed over"
            )
        run.detail |= counts(results)
        if not no_wait:
            await wait_for_index(stack, collection)
    if json_:
        as_json(results)
    else:
        tell(results)
    return exits.PARTIAL if counts(results)["skipped"] else exits.OK


async def import_paths(
    stack: Stack, paths: list[Path], collection: str, project: str
) -> list[FileResult]:
    """Import with a progress bar."""
    files = await asyncio.to_thread(find_files, paths)
    with _bar(len(files), "importing") as bar:
        step: Callable[[FileResult], None] = lambda _: bar.update(1)  # noqa: E731
        return await import_files(
            stack.documents,
            LOCAL_OPERATOR,
            files,
            collection=collection,
            project=project,
            max_bytes=stack.settings.limits.document_bytes,
            progress=step,
        )


def counts(results: list[FileResult]) -> dict[str, int]:
    """How many files had which outcome."""
    kinds: tuple[Outcome, ...] = ("created", "updated", "unchanged", "skipped")
    return {kind: sum(r.outcome == kind for r in results) for kind in kinds}


def tell(results: list[FileResult]) -> None:
    """Name each skipped file with its reason, then the counts in one line."""
    for result in results:
        if result.outcome == "skipped":
            say(f"skipped {result.path}: {result.reason}")
    numbers = ", ".join(f"{number} {kind}" for kind, number in counts(results).items())
    say(f"{len(results)} files: {numbers}")


async def wait_for_index(stack: Stack, collection: str | None) -> int:
    """Index what is due here, or watch the process that does; returns how many documents failed.

    Failing ones are retried later by the running service; they do not hold this up.
    """
    total = (await stack.indexer.backlog(collection))[0]
    work = asyncio.create_task(_drain(stack))
    with _bar(total, "indexing ") as bar:
        try:
            while True:
                pending, failing = await stack.indexer.backlog(collection)
                bar.update(max(0, total - pending - bar.pos))
                if pending - failing <= 0 or work.done():
                    break
                await asyncio.wait([work], timeout=_LOOK_S)
        finally:
            await tasks.end(work)
    if not work.cancelled():
        work.result()
    return failing


async def _drain(stack: Stack) -> None:
    """Drain, or wait for whoever holds the indexer's lock (and take over if it dies)."""
    while not await stack.indexer.drain():  # noqa: ASYNC110 - the other is another process
        await asyncio.sleep(_LOOK_S)


@click.command()
@click.argument("collections", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only name what would be rebuilt.")
@click.pass_context
@command
async def reindex(ctx: click.Context, collections: tuple[str, ...], dry_run: bool) -> int:
    """Rebuild the index of all or the named collections from PostgreSQL.

    The old index answers until the new one is complete. Killed, it goes on with the next start.
    """
    settings = settings_of(ctx)
    if dry_run:
        await _show_rebuild(settings, collections)
        return exits.OK
    async with (
        Ledger(Postgres(settings.postgres)).run("reindex") as run,
        open_stack(settings, index=False) as stack,
    ):
        names = collections or [c.name for c in await stack.collections.list(LOCAL_OPERATOR)]
        run.detail["collections"] = len(names)
        for name in names:
            await stack.generations.begin_rebuild(name)
        failing = await wait_for_index(stack, None)
        run.detail["failing"], run.failed = failing, failing > 0
        # The swap follows the last document; whoever indexes does it.
        while failing == 0 and any(g.state == "building" for g in await stack.generations.all()):
            if not await stack.indexer.drain():
                await asyncio.sleep(_LOOK_S)
    say(f"rebuilt {len(names)} collections" if not failing else f"{failing} documents failed")
    return exits.FAILED if failing else exits.OK


async def _show_rebuild(settings: Settings, names: tuple[str, ...]) -> None:
    """What a rebuild would do. Opens no stack: that would make collections, and lock a local index.

    Raises:
        NotFoundError: one of the names is of no collection.
        UnavailableError: the database does not answer or has no schema yet.
    """
    postgres = Postgres(settings.postgres)
    embedder = Embedder(settings.embeddings, Redis(settings.redis))
    await postgres.open()
    try:
        found = {c.name: c for c in await Collections(postgres, settings).list(LOCAL_OPERATOR)}
        generations = await Generations(postgres, embedder, settings.qdrant.prefix).all()
    finally:
        await postgres.close()
    if unknown := [name for name in names if name not in found]:
        raise NotFoundError(f"no such collection: {', '.join(unknown)}")
    building = {g.collection for g in generations if g.state == "building"}
    wanted = [found[name] for name in names or found]
    under_way = {True: "under way, would begin anew", False: "-"}
    table(
        ["collection", "documents", "passages", "rebuild"],
        [(c.name, c.documents, c.chunks, under_way[c.name in building]) for c in wanted],
    )
    say("nothing was changed")


def _bar(length: int, label: str) -> "ProgressBar[int]":
    """A bar on stderr; nothing at all where that is no terminal."""
    stderr = click.get_text_stream("stderr")
    return click.progressbar(length=length, label=label, file=stderr, hidden=not stderr.isatty())
