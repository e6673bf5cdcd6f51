"""A host with a real PostgreSQL that archives, and repositories of its own."""

import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import msgspec
import psycopg

from aistack.backup.model import RunReport
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.run import Kind, Runner
from aistack.cli.backup.database import administrator
from aistack.embedded.postgres import EmbeddedPostgres
from aistack.kit import process
from aistack.settings.schema import Backup, Postgres, Qdrant, Repository, Settings

KEY = "a-key-of-the-tests-only"
PLAINTEXT = "Words that nobody may read in a repository"
_NOBODY = process.User(65534, 65534)


@dataclass
class Host:
    """A host with a database, its repositories, and nothing else."""

    home: Path
    repositories: dict[str, Repository] = field(default_factory=dict)
    dsn: str = ""
    archive_timeout_s: int = 20
    run_s: float = 0.0
    """How long an incremental run takes here."""

    def __post_init__(self) -> None:
        self.server = EmbeddedPostgres(self.home / "pg")

    @property
    def settings(self) -> Settings:
        backup = Backup(
            repositories=self.repositories,
            key_file=str(self.home / "key"),
            dsn=self.dsn,
            data_dir=str(self.home / "pg" / "data"),
            state_dir=str(self.home / "state"),
            archive_timeout_s=self.archive_timeout_s,
            restore_command=f'{self.home}/pgbackrest-get %f "%p"',
        )
        return Settings(
            postgres=Postgres(dsn=self.dsn, pool_min=0, pool_max=4),
            qdrant=Qdrant(url=None, path=str(self.home / "qdrant")),
            backup=backup,
        )

    def prepare(self) -> None:
        """Folders, the key, and the programs that PostgreSQL calls."""
        user = _NOBODY if os.geteuid() == 0 else None
        for name in ("state", *self.repositories):
            (self.home / name).mkdir(exist_ok=True)
            process.give(self.home / name, user)
        (self.home / "key").write_text(f"{KEY}\n")
        environment = PgBackRest(self.settings.backup).environment()
        for name, words in {
            "pgbackrest-push": 'archive-push "$1"',
            "pgbackrest-get": 'archive-get "$1" "$2"',
        }.items():
            script = self.home / name
            exports = "".join(f"export {k}='{v}'\n" for k, v in environment.items())
            exports += "export PGBACKREST_PG1_PATH=$PWD\n"
            script.write_text(f"#!/bin/sh\n{exports}exec pgbackrest --no-config {words}\n")
            script.chmod(0o755)

    def start(self) -> None:
        self.dsn = self.server.start()

    def stop(self) -> None:
        self.server.stop()

    def sql(self, text: str, *values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(text.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def archive(self) -> None:
        """Let the server archive; PostgreSQL starts anew."""
        self.sql("alter system set archive_mode = on")
        # From the data folder: a copy of this host, and what is restored of it, has its own.
        self.sql("alter system set archive_command = '../../pgbackrest-push %p'")
        self.sql("alter system set archive_timeout = 60")
        self.stop()
        self.start()

    def backup(self, kind: Kind = "auto") -> RunReport:
        async def run() -> RunReport:
            async with administrator(self.settings) as postgres:
                return await Runner(self.settings, postgres).run(kind)

        return anyio.run(run)

    def config(self) -> Path:
        """The settings as a file, for the command."""
        own = self.settings.backup
        text = f"""
            [postgres]
            dsn = "{self.dsn}"
            [qdrant]
            path = "{self.home}/qdrant"
            [backup]
            key_file = "{own.key_file}"
            dsn = "{own.dsn}"
            data_dir = "{own.data_dir}"
            state_dir = "{own.state_dir}"
            restore_command = '{own.restore_command}'
            archive_timeout_s = 20
            """
        for name, one in self.repositories.items():
            text += f"[backup.repositories.{name}]\n"
            for key, value in msgspec.to_builtins(one).items():
                text += f"{key} = {json.dumps(value)}\n" if value not in ("", None) else ""
        file = self.home / "config.toml"
        file.write_text("\n".join(line.strip() for line in text.splitlines()))
        return file

    def command(self, *words: str | Path) -> list[str]:
        """`aistack` with this host's settings."""
        return [sys.executable, "-m", "aistack", "--config", str(self.config()), *map(str, words)]


def open_up(path: Path) -> None:
    """Let the server's user into pytest's folders."""
    for one in (path, *path.parents):
        if one.stat().st_uid == os.geteuid() and "pytest" in str(one):
            one.chmod(0o755)


def copy_file(source: str, target: str) -> None:
    shutil.copy2(source, target)
    found = Path(source).stat()
    os.chown(target, found.st_uid, found.st_gid)
