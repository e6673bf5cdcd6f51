"""What to restore: the backup from which a wanted moment can be reached."""

import re
from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct

from aistack.backup import wal
from aistack.backup.model import Contents, Kept, Physical
from aistack.errors import InvalidError, NotFoundError

_LSN = re.compile(r"^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$")


class Target(Struct, frozen=True):
    """A moment; nothing set: the last one that is safe."""

    time: datetime | None = None
    lsn: str | None = None
    run: str | None = None


class Choice(Struct, frozen=True):
    """From where a target is reached."""

    repository: str
    backup: Physical
    arguments: list[str]
    """For pgBackRest's restore."""
    index: Kept | None
    """The index nearest before the moment, in the same repository; None: it is built anew."""
    at_end: bool = False
    """It is as it was when the backup ended: the WAL to the run's own moment is gone."""


def target(time: datetime | None, lsn: str | None, run: str | None) -> Target:
    """Check what was asked for.

    Raises:
        InvalidError: more than one moment, no LSN, or a time without its zone.
    """
    if sum(one is not None for one in (time, lsn, run)) > 1:
        raise InvalidError("give one of --to-time, --to-lsn and --run")
    if lsn is not None and not _LSN.match(lsn):
        raise InvalidError(f"--to-lsn: {lsn} is no LSN, as in 0/3000060")
    if time is not None and time.tzinfo is None:
        raise InvalidError("--to-time needs its zone, as in 2026-11-23T14:30:00+01:00 or ...Z")
    return Target(time, lsn, run)


def choose(wanted: Target, repositories: Sequence[Contents]) -> Choice:
    """The newest backup before the moment, in the first repository that has one.

    Raises:
        NotFoundError: no repository reaches it.
    """
    for contents in repositories:
        fit = [one for one in contents.physical if not one.error and _reaches(one, wanted)]
        if fit:
            backup = max(fit, key=lambda one: one.finished_at)
            index = _index(contents, backup, wanted)
            return Choice(contents.repository, backup, _arguments(wanted, backup), index)
    names = ", ".join(one.repository for one in repositories) or "none"
    raise NotFoundError(
        f"no backup reaches that moment (repositories: {names}): aistack backup list shows what"
        " there is"
    )


def by_wal(choice: Choice, wanted: Target, segments: Collection[str]) -> Choice:
    """A choice, as the WAL lets it be reached that its repository holds of the backup's cluster.

    Of a backup older than backup.retention.any_second_days only the WAL stays that makes it whole.
    A run's own moment is a little later: the end of its backup stands for it then.

    Args:
        choice: by the backups alone.
        wanted: a moment; the last one that is safe needs no look at the WAL.
        segments: names of all that the repository holds of the backup's cluster.

    Raises:
        NotFoundError: the moment is between such a backup and the next one.
    """
    backup = choice.backup
    if wal.goes_on(segments, backup.last_wal):
        return choice
    if wanted.run is not None:
        arguments = ["--type=immediate", "--target-action=promote"]
        return Choice(choice.repository, backup, arguments, choice.index, at_end=True)
    if not wal.goes_on_later(segments, backup.last_wal):
        return choice  # it is on its way, or was never safe
    raise NotFoundError(
        f"in {choice.repository} every second before that moment has gone"
        f" (backup.retention.any_second_days); the last one left is the end of its backup:"
        f" --run {backup.run}"
    )


def _reaches(one: Physical, wanted: Target) -> bool:
    if wanted.time is not None:
        return one.finished_at < wanted.time
    if wanted.lsn is not None:
        return _position(one.last_lsn) <= _position(wanted.lsn)
    if wanted.run is not None:
        return one.run == wanted.run
    return True


def _arguments(wanted: Target, backup: Physical) -> list[str]:
    if wanted.time is not None:
        moment = wanted.time.strftime("%Y-%m-%d %H:%M:%S.%f%z")
        return ["--type=time", f"--target={moment}", "--target-action=promote"]
    if wanted.lsn is not None:
        return ["--type=lsn", f"--target={wanted.lsn}", "--target-action=promote"]
    if wanted.run is not None:
        return ["--type=name", f"--target=aistack-{backup.run}", "--target-action=promote"]
    return ["--type=default"]


def _index(contents: Contents, backup: Physical, wanted: Target) -> Kept | None:
    found = [one for one in contents.kept if one.part == "index"]
    if wanted.time is not None:
        found = [one for one in found if one.at <= wanted.time]
    else:
        own = [one for one in found if one.run == backup.run]
        found = own if wanted.run is not None or wanted.lsn is not None else found
    return max(found, key=lambda one: one.at, default=None)


def _position(lsn: str) -> int:
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)
