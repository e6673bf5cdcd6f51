"""The way in for every source: redact, bound, say where it is from, and put it where it is safe."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from aistack.errors import ConfigError
from aistack.issues.model import Event, shaped
from aistack.issues.origin import generation, host
from aistack.issues.redact import Redactor
from aistack.issues.spool import Spool
from aistack.issues.store import Issues
from aistack.settings.load import read_secret
from aistack.settings.schema import Settings

_SECRET_CHARS = 4000
"""The longest secret: an RSA key of 4096 bits in PEM has 3300."""
_PUBLIC = frozenset({"ca_file", "certificate_file", "known_hosts_file"})
"""Files of settings without a secret; all others are taken for one, those of later sections too."""


class Recorder:
    """Records events: into the spool, or straight into PostgreSQL where there is none.

    Args:
        redactor: takes secrets out.
        spool: None: there is none.
        issues: None: there is a spool, and who reads it is another.
        appended: called when something lies in the spool.
    """

    def __init__(
        self,
        redactor: Redactor,
        spool: Spool | None,
        issues: Issues | None = None,
        appended: Callable[[], None] = lambda: None,
    ) -> None:
        self._redactor = redactor
        self._spool = spool
        self._issues = issues
        self._appended = appended

    @property
    def spools(self) -> bool:
        """Whether there is a spool."""
        return self._spool is not None

    def prepare(self, event: Event, *, here: bool = True) -> Event:
        """The event as it is stored.

        Args:
            event: as its source told it.
            here: it happened on this host, so its name and generation are this one's.
        """
        if here:
            current = generation()
            event = msgspec.structs.replace(
                event,
                host=host() if event.host == "unknown" else event.host,
                generation=current.number if current else None,
                generation_at=current.at if current else None,
            )
        # Before the redaction too, whose time must have a bound: but half a secret is none that it
        # knows, so what is cut off first has been looked at with all of it.
        return shaped(self._redactor.event(shaped(event, _SECRET_CHARS)))

    def spool(self, events: Sequence[Event]) -> None:
        """Write prepared events to the spool; blocks for the disk.

        Raises:
            UnavailableError: the spool or the disk is full.
            ConfigError: there is no spool, or it cannot be written.
        """
        if self._spool is None:
            raise ConfigError("there is no folder for events: set issues.spool")
        self._spool.append(events)
        self._appended()

    async def take(self, events: Sequence[Event]) -> None:
        """Prepare and record events that other programs report; raises as `record`."""
        prepared = await asyncio.to_thread(
            lambda: [self.prepare(event, here=False) for event in events]
        )
        await self.record(prepared)

    async def record(self, events: Sequence[Event]) -> None:
        """Take prepared events; when this returns they are safe.

        Raises:
            UnavailableError: the spool is full or, without one, PostgreSQL does not answer.
        """
        if not events:
            return
        if self._spool is not None:
            await asyncio.to_thread(self.spool, events)
        elif self._issues is not None:
            await self._issues.ingest(events)


def spool_of(settings: Settings) -> Spool | None:
    """The spool that the settings name."""
    own = settings.issues
    return Spool(Path(own.spool), own.spool_bytes) if own.spool else None


def redactor_of(settings: Settings) -> Redactor:
    """A redactor that knows this stack's secrets, as far as this process can read them."""
    known = []
    for setting, reference in secret_files(settings):
        try:
            known.append(read_secret(reference, setting, empty="none"))
        except ConfigError:
            continue  # who needs it complains; this must also work where little else does
    return Redactor(known)


def secret_files(section: Struct, at: str = "") -> Iterator[tuple[str, str]]:
    """Every ``*_file`` that holds a secret and is set: the setting's name, and the reference."""
    for name in section.__struct_fields__:
        value = getattr(section, name)
        parts = value.items() if isinstance(value, dict) else [(None, value)]
        for key, part in parts:
            where = f"{at}{name}" if key is None else f"{at}{name}.{key}"
            if isinstance(part, Struct):
                yield from secret_files(part, f"{where}.")
            elif name.endswith("_file") and name not in _PUBLIC and part:
                yield where, part
