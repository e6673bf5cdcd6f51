"""Measures the planner of backups: processor time of a plan, its order of dropping and its window.

    python benchmarks/retention.py [--rounds 20] [--json]

Needs the package. Backups of every hour back from now, in an order of no meaning: whole ones, and
weeks of a full one with incremental ones that each build on the one before. The median of the
rounds is told, and the best, which other work on the machine disturbs least.
"""

import argparse
import json
import os
import random
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from aistack.backup.retention import Backup, Policy, archive_window, drops, plan

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SIZES = (1_000, 10_000, 100_000)
WEEK = 7 * 24


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="rounds [20]")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    rows = [
        measure(size, chains=chains, rounds=args.rounds)
        for chains in (False, True)
        for size in SIZES
    ]
    found = {"load_average": os.getloadavg()[0], "rows": rows}
    print(json.dumps(found, indent=2) if args.json else table(found))


def series(size: int, *, chains: bool) -> list[Backup]:
    """So many backups, shuffled."""
    backups = [
        Backup(
            f"{hour:06}",
            NOW - timedelta(hours=hour),
            f"{hour + 1:06}" if chains and (hour + 1) % WEEK and hour + 1 < size else None,
        )
        for hour in range(size)
    ]
    random.Random(1).shuffle(backups)  # noqa: S311
    return backups


def measure(size: int, *, chains: bool, rounds: int) -> dict[str, Any]:
    """Milliseconds of one kind and size."""
    backups = series(size, chains=chains)
    plans, rests = [], []
    kept = 0
    for _ in range(rounds):
        started = time.process_time()
        decisions = plan(backups, Policy(), NOW)
        planned = time.process_time()
        drops(decisions)
        archive_window(decisions, NOW, 7)
        plans.append((planned - started) * 1e3)
        rests.append((time.process_time() - planned) * 1e3)
        kept = sum(decision.keep for decision in decisions)
    return {
        "what": "weeks of chains" if chains else "whole",
        "backups": size,
        "kept": kept,
        "plan_ms": round(statistics.median(plans), 1),
        "best_plan_ms": round(min(plans), 1),
        "order_and_window_ms": round(statistics.median(rests), 1),
    }


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [f"load average {found['load_average']:.1f}", ""]
    lines += ["| backups | what | kept | plan, ms | best, ms | order and window, ms |"]
    lines += ["|--:|---|--:|--:|--:|--:|"]
    lines += [
        f"| {row['backups']:,} | {row['what']} | {row['kept']:,} | {row['plan_ms']} "
        f"| {row['best_plan_ms']} | {row['order_and_window_ms']} |"
        for row in found["rows"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
