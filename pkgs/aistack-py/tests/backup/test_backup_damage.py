"""Damaged repositories: each fault is found, is told in words, and loses nothing else."""

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from backup_host import Host

from aistack.backup import catalogue, places, wal
from aistack.backup.model import Physical
from aistack.backup.restic import Restic
from aistack.backup.verify import Verified, verify
from aistack.errors import ConfigError, UnavailableError
from aistack.settings.schema import Repository

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def verified(host: Host) -> Verified:
    async def go() -> Verified:
        now = datetime.now(UTC)
        return await verify(host.settings.backup, "local", now, wal.SEGMENT_BYTES)

    return anyio.run(go)


def one(host: Host, pattern: str) -> Path:
    found = sorted((host.home / "local").glob(pattern), key=lambda p: -p.stat().st_size)
    assert found, pattern
    return found[0]


def flip(file: Path) -> None:
    """One bit in the middle of a file."""
    mode = file.stat().st_mode
    file.chmod(0o600)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    file.chmod(mode)


def test_a_sound_repository_has_no_faults(host: Host) -> None:
    found = verified(host)
    assert found.faults == []
    assert found.backups == 2


def test_a_flipped_bit_in_a_backup_is_found(host: Host) -> None:
    flip(one(host, "pgbackrest/backup/aistack/*F/bundle/1"))
    (fault,) = verified(host).faults
    assert "checksum invalid" in fault


def test_a_flipped_bit_in_the_index_is_found(host: Host) -> None:
    flip(one(host, "restic/data/*/*"))
    found = verified(host)
    # One of four parts is read each time: all of them, to be sure.
    for week in (1, 8, 15, 22):
        when = datetime(2026, 1, week, tzinfo=UTC)
        found = anyio.run(verify, host.settings.backup, "local", when, wal.SEGMENT_BYTES)
        if found.faults:
            break
    assert any("restic" in fault for fault in found.faults)


def test_a_truncated_segment_is_found(host: Host) -> None:
    segment = one(host, "pgbackrest/archive/aistack/15-1/*/*.zst")
    segment.chmod(0o600)
    os.truncate(segment, 100)
    assert verified(host).faults


def test_a_segment_that_is_missing_is_found(host: Host) -> None:
    backup = catalogue.read(host.settings.backup, "local").physical[0]
    one(host, f"pgbackrest/archive/aistack/*/*/{backup.first_wal}-*").unlink()
    faults = verified(host).faults
    assert f"backup {backup.label} lacks 1 WAL segments of its own" in faults


def test_the_lock_of_a_killed_restic_holds_nobody_up(host: Host) -> None:
    own = host.settings.backup
    environment = {**os.environ, **places.restic(own, "local", places.key(own))}
    locks = host.home / "local" / "restic" / "locks"
    # Exclusive, as while it prunes; killed as soon as the lock lies there.
    check = subprocess.Popen(["restic", "check", "--read-data"], env=environment)
    while not list(locks.iterdir()) and check.poll() is None:
        time.sleep(0.005)
    check.kill()
    check.wait()
    assert list(locks.iterdir()), "it was quicker than we"
    kept = Restic(own, "local").kept()
    Restic(own, "local").forget([kept[0].id])
    assert len(Restic(own, "local").kept()) == len(kept) - 1
    assert host.backup().state == "ok"


def test_the_wrong_key_is_called_that(host: Host) -> None:
    (host.home / "key").write_text("another key\n")
    with pytest.raises(UnavailableError, match=r"backup\.key_file is not the key"):
        catalogue.read(host.settings.backup, "local")
    with pytest.raises(UnavailableError, match=r"^repository local cannot be decrypted"):
        Restic(host.settings.backup, "local").kept()
    faults = verified(host).faults
    assert "backup.key_file is not the key" in faults[0]


def test_a_missing_key_is_named(host: Host) -> None:
    (host.home / "key").unlink()
    with pytest.raises(ConfigError, match=r"backup\.key_file"):
        catalogue.read(host.settings.backup, "local")


def test_a_copy_of_the_key_is_checked(host: Host, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_text((host.home / "key").read_text())
    good = _command(host, "backup", "key-check", str(copy))
    assert good.returncode == 0
    assert "opens" in good.stdout
    copy.write_text("mistyped")
    bad = _command(host, "backup", "key-check", str(copy))
    assert bad.returncode == 1
    assert "is not the key" in bad.stdout


def test_verify_works_while_the_database_is_away(host: Host) -> None:
    host.stop()
    done = _command(host, "backup", "verify")
    assert done.returncode == 0, done.stderr
    assert "not recorded" in done.stderr
    assert _command(host, "backup", "list").returncode == 0


@pytest.fixture
def small(host: Host) -> Iterator[Host]:
    """A second repository on a file system of its own, with little room."""
    place = host.home / "small"
    place.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1500k,mode=0777", "tmpfs", place], check=False
        ).returncode
    ):
        pytest.skip("only root can mount a small file system")
    try:
        host.repositories["small"] = Repository(path=str(place / "repository"))
        host.prepare()
        yield host
    finally:
        host.stop()
        subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_fills_up_fails_only_its_own_repository(small: Host) -> None:
    report = small.backup()
    states = {(o.repository, o.part): o.state for o in report.outcomes}
    assert states[("local", "postgresql")] == "ok"
    assert states[("small", "postgresql")] == "failed"
    assert report.state == "partial"
    assert len(catalogue.read(small.settings.backup, "local").physical) == 3


def physical(label: str, first: int, last: int) -> Physical:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    return Physical(
        label=label, type="full", started_at=when, finished_at=when, last_lsn="0/0",
        first_wal=f"{1:08X}{0:08X}{first:08X}", last_wal=f"{1:08X}{0:08X}{last:08X}",
        needs=None, bytes=0, added_bytes=0, error=False, run=None,
    )  # fmt: skip


def test_gaps_in_the_wal() -> None:
    names = [f"{line:08X}{0:08X}{n:08X}" for line, n in [(1, 2), (1, 3), (2, 3), (2, 4), (2, 6)]]
    backups = [physical("A", 2, 3), physical("B", 4, 5)]
    assert wal.missing(names, backups[:1]) == []
    assert wal.missing(names, backups) == ["backup B lacks 1 WAL segments of its own"]
    (gap,) = wal.missing(names, backups[:1], "A")
    assert "1 WAL segments since backup A" in gap
    assert "0000000000000005" in gap


def test_a_log_ends_where_the_size_of_its_segments_says() -> None:
    names = [f"{1:08X}{0:08X}{63:08X}", f"{1:08X}{1:08X}{0:08X}"]
    backup = physical("A", 63, 63)
    assert wal.missing(names, [backup], "A", 64 * 2**20) == []
    assert wal.missing(names, [backup], "A", 16 * 2**20)


def _command(host: Host, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(host.command(*words), capture_output=True, text=True, check=False)
