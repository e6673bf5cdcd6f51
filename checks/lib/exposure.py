"""Writes the reference of the units' exposure, and compares it with the one in the documentation.

    exposure.py UNITS REASONS PAGE > WRITTEN

UNITS is a JSON file: unit -> host -> its file, relaxations and what else differs from the closed
sandbox; REASONS one of relaxation -> why. Exits 1 where a unit is exposed more than it may be, or where
PAGE is not what is written here. Another version of systemd than the page's weighs settings a little
differently: then a score may differ from the page's by `TOLERANCE`.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

MOST = 1.5
"""No unit of ours is exposed more, by the scale of systemd-analyze: 0 is nothing, 10 everything."""
MOST_OF = {"aistack-aidb": 1.2, "aistack-coordinator": 1.2}
"""Where the documents go."""
TOLERANCE = 0.3
NONE = "–"
STALE = "docs/reference/exposure.md is not of these units: run make exposure"
HOSTS = {"here": "All on this host", "elsewhere": "Others reached"}
HEAD = """# Exposure of the units

How much each unit of ours could do, were its program taken over, by `systemd-analyze security`
({version}): 0 is nothing, 10 is everything. A unit may have {most} at most, AIDB and the coordinator
{aidb}. The check `hardening` holds them to that, and this page to the units; `make exposure` writes it
anew.

The first figure is that of a host with all parts on which needs no other host; the second that of one
whose stores, model, repositories or receivers are elsewhere. A dash means that there is no such unit.

| Unit | {hosts} | Relaxations |
|---|--:|--:|---|
"""
REASONS = """
## Relaxations

All units have one closed sandbox (`modules/lib/hardening.nix`): no capabilities, no network, no
devices, their own view of users, processes and folders, a short list of system calls, no core dumps.
These open it, each a little:

| Relaxation | A unit with it |
|---|---|
"""
TAIL = """
Without a name stands what one unit alone has.

## What is not in the table

- **Programs of nixpkgs**: PostgreSQL, Qdrant, Redis, nginx, Prometheus, Grafana and the rest have the
  sandboxes of their own modules. `systemd-analyze security` on the host tells of them.
- **What an administrator runs by hand**: `aistack` has the sandbox of the services, but sees `/tmp` and
  homes to import from. `aistack restore` runs as root with six capabilities, since it replaces the data
  folder of PostgreSQL.
"""
ROW = re.compile(r"^\| `(?P<unit>[^`]+)` \| (?P<here>\S+) \| (?P<elsewhere>\S+) \|", re.MULTILINE)


def version() -> str:
    """As in "systemd 257"."""
    told = subprocess.run(
        ["systemd-analyze", "--version"], check=True, capture_output=True, text=True
    )
    return " ".join(told.stdout.split()[:2])


def scores(files: list[str]) -> dict[str, str]:
    """Each file's score, as systemd-analyze rounds it; no two may be of the same unit."""
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", *files],
        check=True, capture_output=True, text=True, env={"LC_ALL": "C.UTF-8", "PATH": "/run/current-system/sw/bin"},
    )  # fmt: skip
    found = dict(re.findall(r"Overall exposure level for (\S+): ([\d.]+)", told.stdout))
    return {file: found[Path(file).name] for file in files}


def written(units: dict[str, dict], reasons: dict[str, str]) -> tuple[str, list[str]]:
    """The page, and what is wrong with the units."""
    found = {}
    for name in HOSTS:
        found |= scores([hosts[name]["file"] for hosts in units.values() if name in hosts])
    rows, faults = [], []
    for unit, hosts in sorted(units.items()):
        cells = []
        for host in HOSTS:
            score = found[hosts[host]["file"]] if host in hosts else NONE
            # Instances have a number.
            most = MOST_OF.get(re.sub(r"-\d+$", "", unit), MOST)
            if host in hosts and float(score) > most:
                faults.append(
                    f"{unit} ({HOSTS[host].lower()}) has an exposure of {score}, more than {most}"
                )
            cells.append(score)
        names = [
            ", ".join(f"`{one}`" for one in host["relaxations"] + host["besides"])
            for host in (hosts[name] for name in HOSTS if name in hosts)
        ]
        told = " / ".join(name or "none" for name in dict.fromkeys(names))
        rows.append(f"| `{unit}` | {' | '.join(cells)} | {told} |\n")
    head = HEAD.format(
        version=version(), most=MOST, aidb=MOST_OF["aistack-aidb"], hosts=" | ".join(HOSTS.values())
    )
    why = [f"| `{name}` | {reason} |\n" for name, reason in sorted(reasons.items())]
    return "".join([head, *rows, REASONS, *why, TAIL]), faults


def number(score: str) -> float:
    """Of a unit that is not there, less than any score can be."""
    return -1.0 if score == NONE else float(score)


def differs(page: str, committed: str) -> list[str]:
    """In which lines the committed page is not of these units."""
    if version() in committed:
        return [] if page == committed else [STALE]
    faults = []
    theirs = {row["unit"]: row for row in ROW.finditer(committed)}
    for row in ROW.finditer(page):
        for host in HOSTS:
            told = theirs[row["unit"]][host] if row["unit"] in theirs else NONE
            if abs(number(row[host]) - number(told)) > TOLERANCE:
                faults.append(
                    f"{row['unit']} has {row[host]}, docs/reference/exposure.md says {told}"
                )
    # All but the scores and the version is ours alone.
    bare = [
        re.sub(r"\(systemd \d+\)", "", ROW.sub(r"\g<unit>", text)) for text in (page, committed)
    ]
    if bare[0] != bare[1]:
        faults.append(STALE)
    return faults


def main() -> None:
    """Write the page."""
    units, reasons, committed = (Path(path) for path in sys.argv[1:])
    page, faults = written(json.loads(units.read_text()), json.loads(reasons.read_text()))
    print(page, end="")
    faults += differs(page, committed.read_text("utf-8"))
    if faults:
        sys.exit("\n".join(faults))


main()
