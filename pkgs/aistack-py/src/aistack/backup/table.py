"""One table out of a backup, as SQL: for rows that were deleted by mistake."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from aistack.backup import scratch
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restore import Restored
from aistack.backup.target import Choice
from aistack.kit import process
from aistack.postgres_server.programs import find_binaries
from aistack.settings.schema import Backup

_DUMP_S = 24 * 3600


def dump_table(
    settings: Backup, choice: Choice, table: str, into: Path, say: Callable[[str], None]
) -> Restored:
    """Restore into a scratch server, and write one table's rows as SQL below a folder.

    Raises:
        UnavailableError: the restore fails, or there is no such table.
    """
    start = time.monotonic()
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = into / "scratch"
    shutil.rmtree(data, ignore_errors=True)
    backrest = PgBackRest(settings, data)
    user = process.owner(Path(settings.data_dir))
    process.give(into, user)
    file = into / f"{table}.sql"
    try:
        say(f"PostgreSQL from {choice.repository}, backup {choice.backup.label}")
        wanted = [*choice.arguments, f"--recovery-option=restore_command={scratch.FETCH}"]
        backrest.restore(choice.repository, choice.backup.label, wanted, archiving=False)
        with scratch.postgres(data, settings.dsn, backrest.environment(choice.repository)) as dsn:
            say(f"table {table}")
            parts = conninfo_to_dict(dsn)
            process.run(
                [find_binaries() / "pg_dump", "--data-only", f"--table={table}",
                 "-h", str(parts["host"]), "-U", str(parts["user"]), f"--file={file}",
                 str(parts["dbname"])],
                _DUMP_S, user,
            )  # fmt: skip
    finally:
        shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(f"{data}.tablespaces", ignore_errors=True)
    return Restored(
        repository=choice.repository,
        backup=choice.backup.label,
        into=str(file),
        seconds=round(time.monotonic() - start, 2),
    )
