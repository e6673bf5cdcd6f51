#!/usr/bin/env python3
"""Says how much of the package the tests ran, and fails where that is less than the goal.

coverage's own `fail_under` is one number over lines and branches together; the goal has two.

    coverage json -o FILE && scripts/coverage.py [--rooms] FILE

`make check` does so, `make coverage` tells its rooms again.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path, PurePath

LINES, BRANCHES = 90, 85
"""The goal, in percent."""


def percent(summary: Counter[str], what: str, of: str) -> float:
    """How many percent are covered; all of nothing."""
    return 100 * summary[what] / summary[of] if summary[of] else 100.0


def figures(summary: Counter[str]) -> tuple[float, float]:
    """Percent of lines and of branches."""
    return (
        percent(summary, "covered_lines", "num_statements"),
        percent(summary, "covered_branches", "num_branches"),
    )


def room(path: str) -> str:
    """The package's folder that a file is in, or the file itself."""
    parts = PurePath(path).parts
    return PurePath(parts[parts.index("aistack") + 1]).stem


def main() -> int:
    """Print the figures; 1 where the goal is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="what `coverage json` wrote")
    parser.add_argument("--rooms", action="store_true", help="a line for each room, too")
    wanted = parser.parse_args()
    if not wanted.file.exists():
        parser.error(f"there is no {wanted.file}: make check writes it")
    report = json.loads(wanted.file.read_text())
    if wanted.rooms:
        rooms: dict[str, Counter[str]] = {}
        for path, one in report["files"].items():
            rooms.setdefault(room(path), Counter()).update(one["summary"])
        for name, summary in sorted(rooms.items()):
            print("{:14}{:7.1f} % of lines{:7.1f} % of branches".format(name, *figures(summary)))
    lines, branches = figures(Counter(report["totals"]))
    print(
        f"coverage: {lines:.1f} % of lines (goal {LINES}), "
        f"{branches:.1f} % of branches (goal {BRANCHES})"
    )
    return int(lines < LINES or branches < BRANCHES)


if __name__ == "__main__":
    sys.exit(main())
