"""A clock that is set back by an hour, for PostgreSQL, pgBackRest and us alike."""

import sys
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from backup_host import Host
from restoring import note, notes, save

from aistack.backup.target import Target

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class HourAgo(datetime):
    """The class `datetime` of an hour ago."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) - timedelta(hours=1)


def set_back(patch: pytest.MonkeyPatch) -> None:
    """We, and every program that is started from now on, live an hour ago.

    But for restic: it is linked statically, so its clock cannot be turned from outside.
    """
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        pytest.fail("libfaketime is missing: apt-get install faketime", pytrace=False)
    patch.setenv("LD_PRELOAD", str(found[0]))
    patch.setenv("FAKETIME", "-1h")
    for name, module in sorted(sys.modules.items()):
        if name.startswith("aistack.backup.") and getattr(module, "datetime", None) is datetime:
            patch.setattr(module, "datetime", HourAgo)


def test_an_hour_back_is_told_and_loses_nothing(host: Host, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        set_back(patch)
        host.stop()
        host.start()
        note(host, 3)
        report = host.backup()
        save(host)
    assert report.state == "failed", "a backup that sorts before its past cannot be found again"
    errors = " ".join(outcome.error or "" for outcome in report.outcomes)
    assert "clock skew" in errors
    # Archiving goes by no clock.
    assert notes(host, Target(), tmp_path / "meanwhile") == [1, 2, 3]
    host.stop()
    host.start()
    note(host, 4)
    assert host.backup().state == "ok"
    assert notes(host, Target(), tmp_path / "afterwards") == [1, 2, 3, 4]
