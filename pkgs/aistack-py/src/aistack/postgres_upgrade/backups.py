"""What an upgrade has to do with backups: one before it, and a new beginning after it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from aistack.backup import catalogue
from aistack.backup.pgbackrest import PgBackRest
from aistack.errors import AistackError, UnavailableError
from aistack.settings.schema import Backup

_OTHERWISE = "or go without (--without-backup)"
_EVER = datetime.min.replace(tzinfo=UTC)


def fault(settings: Backup, version: str, made: datetime = _EVER) -> str | None:
    """Why nothing could be restored if all went wrong; None: something could.

    Args:
        settings: of backups.
        version: major version of the cluster that a backup is wanted of.
        made: when that cluster was made: what is older is another one's.
    """
    if not settings.repositories:
        return f"there are no backups: set services.aistack.backups.enable, {_OTHERWISE}"
    newest = max((at for _, at in _newest(settings, version) if at > made), default=None)
    if newest is not None and newest > datetime.now(UTC) - timedelta(hours=settings.max_age_hours):
        return None
    told = f"the last one is of {newest:%F %T %Z}" if newest else "there is none"
    return (
        f"no backup of PostgreSQL {version} is younger than {settings.max_age_hours} h ({told}):"
        f" make one while it runs (aistack backup run), {_OTHERWISE}"
    )


def begin_anew(
    settings: Backup, version: str, made: datetime, say: Callable[[str], None]
) -> list[str]:
    """Make the repositories take the new cluster's backups; names of those that lack a first one.

    Raises:
        UnavailableError: a repository cannot be told; the others were.
    """
    away = []
    for name in settings.repositories:
        say(f"{name}: backups of PostgreSQL {version} from now on")
        try:
            PgBackRest(settings).upgrade_stanza(name)
        except AistackError as exc:
            away.append(f"{name}: {exc.detail}")
    if away:
        raise UnavailableError(f"{'; '.join(away)}; run aistack postgres upgrade again for these")
    return [name for name, at in _newest(settings, version) if at <= made]


def _newest(settings: Backup, version: str) -> Iterator[tuple[str, datetime]]:
    """When the newest whole backup of a major version was made, by repository that answers."""
    for name in settings.repositories:
        try:
            found = catalogue.read(settings, name, physical_only=True)
        except UnavailableError:
            continue
        good = (one for one in found.physical if one.server == version and not one.error)
        yield name, max((one.finished_at for one in good), default=_EVER)
