"""What the issue tracker costs: fingerprints, ingest from the spool, analysis.

python benchmarks/issues.py [--rounds 5] [--json]
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
import tomllib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from msgspec import structs

from aistack.embedded.postgres import EmbeddedPostgres
from aistack.issues.analysis import analyze
from aistack.issues.drain import drain
from aistack.issues.fingerprint import fingerprint
from aistack.issues.intake import bucket
from aistack.issues.model import Event, Frame
from aistack.issues.recorder import Recorder
from aistack.issues.redact import Redactor
from aistack.issues.spool import Spool
from aistack.issues.store import Issues
from aistack.kit.signing import Signer
from aistack.migrations.runner import migrate
from aistack.settings import schema
from aistack.stores.postgres import Postgres

CORPUS = Path(__file__).parents[1] / "tests/corpus/log_messages.toml"
EVENTS = 20_000
ISSUES = 100_000
BUCKETS = 500_000


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds [5]")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aistack-bench-") as folder:
        found = asyncio.run(measure(Path(folder), args.rounds))
    found["load_average"] = os.getloadavg()[0]
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name:32} {value:>12,.1f}")


def messages() -> list[str]:
    """The corpus of the tests."""
    groups = tomllib.loads(CORPUS.read_text("utf-8"))["group"]
    return [message for group in groups for message in group["messages"]]


def fingerprints(rounds: int) -> dict[str, float]:
    """Microseconds for one, of a message and of a stack of 20 frames."""
    texts = [Event(message=text, source="http") for text in messages()]
    frames = tuple(Frame(f"aistack.part{n}", "function") for n in range(20))
    stacks = [Event(message="x", source="http", kind="E", frames=frames)] * len(texts)
    found = {}
    for name, events in (("message", texts), ("stack", stacks)):
        times = []
        for _ in range(rounds):
            begun = time.perf_counter()
            for event in events:
                fingerprint(event)
            times.append((time.perf_counter() - begun) / len(events) * 1e6)
        found[f"fingerprint_{name}_us"] = statistics.median(times)
    return found


async def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """All figures by name; times are medians of the rounds."""
    found: dict[str, Any] = fingerprints(rounds)
    spool = Spool(folder / "spool", 2**32)
    recorder = Recorder(Redactor(["a secret of the stack"]), spool)
    texts = messages()
    begun = time.perf_counter()
    prepared = [
        recorder.prepare(
            Event(message=texts[n % len(texts)], source="http", component="part",
                  context={"n": n}, stack="line of a traceback\n" * 20, host="kb")
        )
        for n in range(EVENTS)
    ]  # fmt: skip
    found["prepare_us"] = (time.perf_counter() - begun) / EVENTS * 1e6
    spread = [structs.replace(e, component=f"part{n % 100}") for n, e in enumerate(prepared)]
    with EmbeddedPostgres(folder / "postgresql") as dsn:
        await migrate(dsn)
        postgres = Postgres(schema.Postgres(dsn=dsn, pool_max=4))
        await postgres.open()
        settings = schema.Issues()
        issues = Issues(postgres, Signer(b"s"), settings)
        rates: dict[str, list[float]] = defaultdict(list)
        for _ in range(rounds):
            begun = time.perf_counter()
            for start in range(0, EVENTS, 50):
                spool.append(prepared[start : start + 50])
            rates["spool_events_s"].append(EVENTS / (time.perf_counter() - begun))
            begun = time.perf_counter()
            await drain(spool, issues)
            rates["ingest_events_s"].append(EVENTS / (time.perf_counter() - begun))
            for name, events in (("burst", prepared[:1] * EVENTS), ("spread", spread)):
                spool.append(events)
                begun = time.perf_counter()
                await drain(spool, issues)
                rates[f"ingest_{name}_events_s"].append(EVENTS / (time.perf_counter() - begun))
        found |= {name: statistics.median(values) for name, values in rates.items()}
        await asyncio.to_thread(fill, dsn)
        took = []
        for _ in range(rounds):
            begun = time.perf_counter()
            analysis = await analyze(postgres, settings, timedelta(days=7))
            took.append(time.perf_counter() - begun)
        found |= {
            "analysis_s": statistics.median(took),
            "analysis_max_s": max(took),
            "analysed_issues": analysis.issues,
            "analysed_events": analysis.events,
        }
        await postgres.close()
    return found


def fill(dsn: str) -> None:
    """100,000 issues of 200 components with 500,000 spans in a week, most of them of a few.

    Each with its kept events, half a million in all, on a host that had 40 generations.
    """
    chance = random.Random(1)  # noqa: S311 - figures, not secrets
    now = datetime.now(UTC)
    with psycopg.connect(dsn) as conn, conn.cursor() as cursor:
        cursor.execute("truncate issues cascade")
        columns = "fingerprint_version, fingerprint, kind, title, component, severity, category,"
        columns += " first_seen, last_seen, count, last_host, first_generation"
        with cursor.copy(f"copy issues ({columns}) from stdin") as copy:  # type: ignore[arg-type]
            for n in range(ISSUES):
                first = now - timedelta(hours=chance.uniform(1, 1000))
                told = (f"error {n}", f"part{n % 200}", "medium", "other")
                count = chance.randint(1, 9)
                row = (1, n.to_bytes(16, "big"), "E", *told, first, now, count, "kb", n % 40 + 1)
                copy.write_row(row)
        cursor.execute("select min(id) from issues")
        first_id = (cursor.fetchone() or (0,))[0]
        spans = {(n, chance.randrange(2016)) for n in range(ISSUES)}
        while len(spans) < BUCKETS:
            spans.add((int(chance.paretovariate(0.5)) % ISSUES, chance.randrange(2016)))
        last = bucket(now)
        with cursor.copy("copy issue_rates (issue, bucket, count) from stdin") as copy:
            for issue, span in spans:
                copy.write_row((first_id + issue, last - span, chance.randint(1, 9)))
        cursor.execute(
            "insert into issue_occurrences (issue, slot, number, at, message, stack, context, host,"
            " generation, source)"
            " select id, n - 1, n, last_seen - random() * (last_seen - first_seen), 'no answer',"
            " repeat(md5(id::text), 30), '{\"n\": 1}', 'kb', n, 'http'"
            " from issues, generate_series(1, count) n"
        )
        cursor.execute(
            "insert into issue_generations (host, generation, at)"
            " select 'kb', n, now() - interval '1 day' * (40 - n) from generate_series(1, 40) n"
        )
        conn.commit()
        conn.autocommit = True
        cursor.execute("vacuum analyze issues, issue_rates, issue_occurrences")


if __name__ == "__main__":
    main()
