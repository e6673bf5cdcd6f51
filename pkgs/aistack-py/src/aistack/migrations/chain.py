"""The chain of migrations: their text, and what the code before each can do after it."""

import hashlib
from importlib.resources import files
from typing import Literal

import msgspec
from msgspec import Struct

from aistack.errors import ConfigError

Phase = Literal["expand", "contract"]
"""``expand``: it adds only. ``contract``: it takes away what code no longer uses."""


class Migration(Struct, frozen=True, kw_only=True):
    """One file of the chain."""

    number: int
    name: str
    sql: str
    checksum: str
    phase: Phase = "expand"
    release: str = ""
    """The release that it came with."""
    oldest: int | None = None
    """Of a contraction: number of the oldest schema whose code may still use the database."""


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of chain.toml."""

    file: str
    phase: Phase
    release: str
    sha256: str
    oldest: int | None = None


class _Chain(Struct, frozen=True, forbid_unknown_fields=True):
    migration: list[_Entry]


def chain() -> list[Migration]:
    """All migrations of this version, in order.

    Raises:
        ConfigError: a file is not the one that chain.toml tells of: the installation is damaged.
    """
    folder = files("aistack.migrations")
    told = msgspec.toml.decode((folder / "chain.toml").read_bytes(), type=_Chain)
    found = []
    for entry in told.migration:
        text = (folder / entry.file).read_text("utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        if digest != entry.sha256:
            raise ConfigError(
                f"migration {entry.file} is not as it was released: reinstall aistack"
            )
        found.append(
            Migration(
                number=int(entry.file[:4]),
                name=entry.file,
                sql=text,
                checksum=digest,
                phase=entry.phase,
                release=entry.release,
                oldest=entry.oldest,
            )
        )
    return found
