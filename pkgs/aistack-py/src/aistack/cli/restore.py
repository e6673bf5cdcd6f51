"""The way back from a backup."""

import asyncio
from datetime import datetime
from pathlib import Path

import click
import msgspec

from aistack.backup import catalogue
from aistack.backup.lock import alone
from aistack.backup.restore import Parts, Restored, Restorer, Systemd, bring_index
from aistack.backup.target import Choice, target
from aistack.cli import exits
from aistack.cli.backup.shared import read_all, repository_option
from aistack.cli.context import command, config_file, json_option, settings_of
from aistack.cli.render import as_json, say, table
from aistack.errors import InvalidError, NotFoundError, UnavailableError
from aistack.kit import process


@click.command()
@click.option("--to-time", help="A moment with its zone, as in 2026-11-23T14:30:00Z.")
@click.option("--to-lsn", help="A position in the WAL, as in 0/3000060.")
@click.option("--run", help="The moment of a run, as aistack backup list names it.")
@repository_option
@click.option("--into", type=click.Path(path_type=Path), help="An empty folder for the files.")
@click.option("--in-place", is_flag=True, help="Replace the database of this host.")
@click.option("--only", help="postgresql, qdrant, or table:NAME (as SQL, with --into).")
@click.option("--rebuild-index", is_flag=True, help="Do not use the snapshots of the index.")
@click.option("--yes", is_flag=True, help="Also where the database is in use.")
@click.option("--dry-run", is_flag=True, help="Only say what would be restored.")
@json_option
@click.pass_context
@command
async def restore(
    ctx: click.Context,
    to_time: str | None,
    to_lsn: str | None,
    run: str | None,
    repository: str | None,
    into: Path | None,
    in_place: bool,
    only: str | None,
    rebuild_index: bool,
    yes: bool,
    dry_run: bool,
    json_: bool,
) -> int:
    """Restore PostgreSQL, and the index with it, to the last safe moment or to a given one.

    In place, the old data folder is kept beside the new one, and comes back by itself where the
    restored database does not answer.
    """
    settings = settings_of(ctx)
    if (into is None) == (not in_place) and not dry_run:
        raise InvalidError("give one of --into FOLDER and --in-place")
    wanted = target(_time(to_time), to_lsn, run)
    parts, name = _parts(only, in_place=in_place)
    found, away = await read_all(settings, repository, physical_only=parts == "postgresql")
    try:
        choice = await asyncio.to_thread(catalogue.choose, settings.backup, wanted, found)
    except NotFoundError as exc:
        if away:  # it may have what the others have not
            raise UnavailableError(exc.detail) from exc
        raise
    if rebuild_index:
        choice = msgspec.structs.replace(choice, index=None)
    _say_choice(choice, parts)
    if dry_run:
        if json_:
            as_json(choice)
        return exits.OK
    restorer = Restorer(settings.backup, Systemd(settings.backup.units), say)
    if name is not None and into is not None:
        # Here, for with it comes psycopg, which takes a third of the time to start.
        from aistack.backup.table import dump_table

        done = dump_table(settings.backup, choice, name, into, say)
    elif into is not None:
        done = restorer.into(choice, into, parts)
    else:
        user = process.owner(Path(settings.backup.data_dir))
        config = config_file(ctx)
        index = (lambda: bring_index(config, choice, user)) if parts == "all" else None
        # No backup begins before all is in place.
        with alone(settings.backup.state_dir):
            done = restorer.in_place(choice, sure=yes, index=index)
    if json_:
        as_json(done)
    else:
        _tell(done)
    return exits.OK if done.whole else exits.PARTIAL


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as exc:
        raise InvalidError(f"--to-time: {text} is no time, as in 2026-11-23T14:30:00Z") from exc


def _parts(only: str | None, *, in_place: bool) -> tuple[Parts, str | None]:
    if only is None:
        return "all", None
    if only.startswith("table:") and not in_place:
        return "postgresql", only.removeprefix("table:")
    if only == "postgresql":
        return "postgresql", None
    if only == "qdrant" and not in_place:
        return "qdrant", None
    raise InvalidError(
        "--only is postgresql, qdrant or table:NAME; the last two need --into (an index in place"
        " is rebuilt by aistack reindex)"
    )


def _say_choice(choice: Choice, parts: Parts) -> None:
    made = choice.backup
    if parts == "postgresql":
        index = "left as it is"
    elif choice.index:
        index = f"snapshots of run {choice.index.run}, then what changed since"
    else:
        index = "made anew from PostgreSQL by the running service"
    say(f"from {choice.repository}: {made.type} backup {made.label}, {made.finished_at:%F %T %Z}")
    say(f"recovery: {' '.join(choice.arguments)}")
    if choice.at_end:
        say("as it was when the backup ended: the WAL to the run's own moment is gone by retention")
    say(f"index: {index}")


def _tell(done: Restored) -> None:
    table(
        ["what", "value"],
        [
            ("restored", done.into),
            ("from", f"{done.backup} in {done.repository}"),
            ("seconds", done.seconds),
            ("kept aside", done.kept_aside),
            ("index", done.index),
        ],
    )
