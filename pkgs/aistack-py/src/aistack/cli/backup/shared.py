"""What the commands of backups share: which repositories are meant, and what they hold."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import click

from aistack.backup import catalogue, expire as expiry, places
from aistack.backup.model import Contents
from aistack.cli.render import say
from aistack.errors import AistackError, ConfigError, NotFoundError, UnavailableError
from aistack.settings.schema import Settings

_AWAY = (UnavailableError, ConfigError)
"""What keeps one repository from being read, and none of the others: a secret may be missing."""

repository_option = click.option(
    "--repository", "-r", help="One of backup.repositories [default: all, or the first]."
)


def names_of(settings: Settings, repository: str | None) -> list[str]:
    """The repositories that are meant.

    Raises:
        ConfigError: no such repository.
        NotFoundError: there is none at all.
    """
    if repository is not None:
        places.repository(settings.backup, repository)
        return [repository]
    if not settings.backup.repositories:
        raise NotFoundError("backup.repositories is empty: there are no backups")
    return list(settings.backup.repositories)


async def read_all(
    settings: Settings, repository: str | None, *, physical_only: bool = False
) -> tuple[list[Contents], int]:
    """What each repository holds, and how many cannot be read; all are asked at once.

    Raises:
        ConfigError: none can be read, and of one a secret is missing.
        UnavailableError: none can be read.
    """
    names = names_of(settings, repository)
    read = partial(catalogue.read, settings.backup, physical_only=physical_only)
    answers = await asyncio.gather(
        *(asyncio.to_thread(read, name) for name in names), return_exceptions=True
    )
    found: list[Contents] = []
    faults: list[AistackError] = []
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, _AWAY):
            say(f"{name}: {answer.detail}")
            faults.append(answer)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found.append(answer)
    if not found:
        settings_at_fault = (fault for fault in faults if isinstance(fault, ConfigError))
        raise next(settings_at_fault, UnavailableError("no repository can be read"))
    return found, len(faults)


async def expire_all(settings: Settings, names: Sequence[str]) -> list[str]:
    """Apply the retention to these repositories; returns those where that failed."""
    late = []
    for name in names:
        try:
            contents = await asyncio.to_thread(catalogue.read, settings.backup, name)
            todo = expiry.decide(contents, settings.backup.retention, datetime.now(UTC))
            await expiry.apply(settings.backup, todo)
        except _AWAY as exc:
            say(f"{name}: old backups stay: {exc.detail}")
            late.append(name)
    return late
