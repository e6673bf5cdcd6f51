"""The planner beside the real `restic forget` on the same times."""

import json
import os
import re
import shutil
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from series import at, kept

from aistack.backup.retention import Backup, Policy, plan

NOW = at("2026-11-23T12:00")
TIMES = [
    # Several a day; a gap; weeks whose newest is no Sunday; months with gaps.
    *("2026-11-23 09:00:00", "2026-11-23 02:00:00", "2026-11-22 02:00:00", "2026-11-20 23:59:59"),
    *("2026-11-20 00:00:00", "2026-11-19 02:00:00", "2026-11-16 02:00:00", "2026-11-15 02:00:00"),
    *("2026-11-14 02:00:00", "2026-11-10 02:00:00", "2026-11-01 02:00:00", "2026-10-31 02:00:00"),
    *("2026-10-30 02:00:00", "2026-10-18 02:00:00", "2026-09-30 02:00:00", "2026-08-02 02:00:00"),
    *("2026-07-31 02:00:00", "2026-06-15 02:00:00", "2026-06-14 02:00:00", "2026-05-05 02:00:00"),
    # One ISO week with both sides of a new year; months of another one.
    *("2026-01-01 02:00:00", "2025-12-31 02:00:00", "2025-11-02 02:00:00", "2025-09-02 02:00:00"),
    *("2025-08-02 02:00:00", "2025-07-02 02:00:00", "2025-07-01 02:00:00"),
]
POLICIES = [Policy(7, 4, 12), Policy(3, 2, 2), Policy(2, 9, 1), Policy(99, 0, 0), Policy(0, 0, 99)]
KEEPS_THE_OLDEST = (0, 16)
"""The version from which on restic also keeps the oldest of all, while a rule has slots left."""


class Restic(NamedTuple):
    """A repository with a tiny file in it."""

    folder: Path
    version: tuple[int, ...]

    def run(self, *arguments: str, zone: str = "UTC") -> str:
        """What it prints, in a time zone: UTC or a file."""
        environment = os.environ | {
            "RESTIC_REPOSITORY": str(self.folder / "repository"),
            "RESTIC_PASSWORD": "secret",
            "RESTIC_CACHE_DIR": str(self.folder / "cache"),
            "TZ": zone,
        }
        command = ["restic", *arguments]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def backup(self, time: str, host: str, zone: str = "UTC") -> None:
        path = str(self.folder / "file")
        self.run("backup", "--quiet", "--time", time, "--host", host, path, zone=zone)

    def forget(self, policy: Policy, host: str) -> tuple[list[Backup], list[str]]:
        """All of a host's snapshots, and the ids of those that restic would keep."""
        rules = {"daily": policy.daily, "weekly": policy.weekly, "monthly": policy.monthly}
        flags = [flag for name, n in rules.items() if n for flag in (f"--keep-{name}", str(n))]
        options = ["--dry-run", "--no-lock", "--json", "--group-by", "host", "--host", host]
        (group,) = json.loads(self.run("forget", *options, *flags))
        keep, remove = group["keep"], group["remove"] or []
        return [_backup(one) for one in (*keep, *remove)], [one["id"] for one in keep]


def _backup(snapshot: dict[str, Any]) -> Backup:
    return Backup(snapshot["id"], datetime.fromisoformat(snapshot["time"]))


@pytest.fixture(scope="module")
def restic(tmp_path_factory) -> Restic:
    if shutil.which("restic") is None:
        pytest.fail("restic is missing: apt-get install restic", pytrace=False)
    said = subprocess.run(["restic", "version"], capture_output=True, text=True, check=True).stdout
    numbers = re.findall(r"\d+", said)
    restic = Restic(tmp_path_factory.mktemp("restic"), tuple(map(int, numbers[:2])))
    (restic.folder / "file").write_text("tiny")
    restic.run("init")
    # Five hours behind UTC, all year; the machine may have no time zones.
    new_york = restic.folder / "zone"
    new_york.write_bytes(
        struct.pack(">4s16x6llBB4s", b"TZif", 0, 0, 0, 0, 1, 4, -18000, 0, 0, b"EST")
    )
    jobs = [
        *((time, "same", "UTC") for time in TIMES),
        ("2026-11-22 02:00:00", "ahead", "UTC"),
        ("2026-11-21 02:00:00", "ahead", "UTC"),
        ("2031-01-01 02:00:00", "ahead", "UTC"),
        # 23:00 UTC of the 20th, and 02:30 UTC of the 21st.
        ("2026-11-20 23:00:00", "zones", "UTC"),
        ("2026-11-20 21:30:00", "zones", str(new_york)),
    ]
    # Each spends half a second on deriving the key.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: restic.backup(*job), jobs))
    return restic


@pytest.mark.parametrize("policy", POLICIES)
def test_both_keep_the_same(restic, policy) -> None:
    snapshots, theirs = restic.forget(policy, "same")
    assert len(snapshots) == len(TIMES)
    decisions = plan(snapshots, policy, NOW)
    ours = kept(decisions)
    extra = set(theirs) - set(ours)
    assert set(ours) <= set(theirs)
    slots = policy.daily + policy.weekly + policy.monthly
    rules = [why for d in decisions for why in d.reasons if d.keep and "newest" not in why]
    keeps_the_oldest = restic.version >= KEEPS_THE_OLDEST and len(rules) < slots
    assert extra == ({decisions[-1].backup.id} - set(ours) if keeps_the_oldest else set())


def test_restic_lets_the_future_take_slots(restic) -> None:
    snapshots, theirs = restic.forget(Policy(2, 0, 0), "ahead")
    newest_first = sorted(snapshots, key=lambda b: b.taken_at, reverse=True)
    future, yesterday, before = (b.id for b in newest_first)
    assert set(theirs) == {future, yesterday}
    assert kept(plan(snapshots, Policy(2, 0, 0), NOW)) == [future, yesterday, before]
    # Once its time has come it takes a slot here, too.
    later = newest_first[0].taken_at + timedelta(hours=1)
    assert kept(plan(snapshots, Policy(2, 0, 0), later)) == [future, yesterday]


def test_restic_counts_days_by_the_zone_of_each_snapshot(restic) -> None:
    snapshots, theirs = restic.forget(Policy(2, 0, 0), "zones")
    evening = {b.id for b in snapshots if b.taken_at == at("2026-11-20T23:00")}
    night = {b.id for b in snapshots if b.taken_at == at("2026-11-21T02:30")}
    assert evening
    assert night
    assert set(kept(plan(snapshots, Policy(2, 0, 0), NOW))) == evening | night
    # One day to restic; from 0.16 on it keeps the evening's as the oldest of all.
    assert set(theirs) == (night | evening if restic.version >= KEEPS_THE_OLDEST else night)
