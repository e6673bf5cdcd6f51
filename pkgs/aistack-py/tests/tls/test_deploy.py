"""Deployments to a real nginx that go wrong at every point: the old certificate is served on."""

import asyncio
import errno
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from webserver import DOMAIN, NOW, Nginx, issue, store

from aistack.errors import AistackError, ConflictError, InvalidError, UnavailableError
from aistack.health.certificate import served
from aistack.settings.schema import Tls
from aistack.tls import deploy as module
from aistack.tls.deploy import Deployer, Outcome
from aistack.tls.folder import Folder
from aistack.tls.pair import Pair

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

OLD, NEW = issue(), issue()


async def bring(settings: Tls, pair: Pair, now: datetime = NOW) -> Outcome:
    folder = Folder(Path(settings.folder))
    with folder.lock():
        return await Deployer(settings, folder).deploy(pair, now)


async def shown(settings: Tls) -> object:
    return await served(f"{DOMAIN}@{settings.served_at}")


async def comes(settings: Tls, leaf: object) -> None:
    """What is served from now on: behind a reload an old worker may answer once more."""
    until = time.monotonic() + 30
    while await shown(settings) != leaf:
        assert time.monotonic() < until
        await asyncio.sleep(0.05)


@pytest.fixture
async def old(nginx: Nginx) -> AsyncIterator[Nginx]:
    """nginx, serving the old certificate."""
    assert await bring(nginx.settings(), OLD) == "deployed"
    with nginx.running():
        await comes(nginx.settings(), OLD.leaf)
        yield nginx


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 6.0)


async def is_untouched(nginx: Nginx) -> None:
    """The old one is served, also after a restart, and a deployment that can work does."""
    settings, folder = nginx.settings(), Folder(nginx.folder)
    await comes(settings, OLD.leaf)
    assert folder.target("live") == OLD.id
    assert folder.target("next") is None
    assert [p.name for p in (nginx.folder / "certificates").iterdir()] == [OLD.id]
    assert await bring(settings, NEW) == "deployed"
    await comes(settings, NEW.leaf)


async def test_a_new_one_is_served_and_again_changes_nothing(old: Nginx) -> None:
    settings = old.settings()
    assert await bring(settings, NEW) == "deployed"
    await comes(settings, NEW.leaf)
    inode = (old.folder / "live").lstat().st_ino
    assert await bring(settings, NEW) == "unchanged"
    assert (old.folder / "live").lstat().st_ino == inode
    assert (old.folder / "live" / "privkey.pem").stat().st_mode & 0o777 == 0o640
    assert (old.folder / "live" / "fullchain.pem").stat().st_mode & 0o777 == 0o644
    names = {p.name for p in (old.folder / "certificates").iterdir()}
    assert names == {OLD.id, NEW.id}, "the one before is kept, to go back to"


async def test_one_that_nginx_has_not_seen_is_shown_to_it(old: Nginx) -> None:
    folder = Folder(old.folder)
    folder.put(NEW)
    folder.point("live", NEW.id)
    assert await bring(old.settings(), NEW) == "reloaded"
    await comes(old.settings(), NEW.leaf)


@pytest.mark.parametrize(
    ("pair", "now"),
    [
        (issue("other.test"), NOW),
        (Pair(NEW.chain, OLD.key), NOW),
        (Pair(OLD.chain, NEW.key), NOW),  # the certificate is the one that is served
        (Pair((NEW.leaf, OLD.chain[1]), NEW.key), NOW),
        (issue(issuer="(STAGING) Fake"), NOW),
        (issue(begin=NOW - timedelta(hours=1)), NOW - timedelta(days=1)),  # a clock a day late
        (issue(end=NOW + timedelta(hours=12)), NOW + timedelta(days=1)),  # and one a day early
    ],
)
async def test_a_bad_one_is_refused(old: Nginx, pair: Pair, now: datetime) -> None:
    with pytest.raises(InvalidError, match="not deployed"):
        await bring(old.settings(), pair, now)
    await is_untouched(old)


async def test_nginx_itself_refuses_one(old: Nginx) -> None:
    """Valid by all that we know; OpenSSL finds its key too short."""
    with pytest.raises(ConflictError, match=r"nginx's test failed: .*key too small"):
        await bring(old.settings(), issue(weak=True))
    await is_untouched(old)


async def test_a_reload_that_fails_is_taken_back(old: Nginx) -> None:
    with pytest.raises(ConflictError, match=r"went back .* reload failed.*does not serve that"):
        await bring(old.settings(reload_command=("false",)), NEW)
    await is_untouched(old)


async def test_a_reload_that_does_nothing_is_taken_back(old: Nginx) -> None:
    with pytest.raises(ConflictError, match="another certificate is served"):
        await bring(old.settings(reload_command=("true",)), NEW)
    await is_untouched(old)


async def test_while_nginx_is_down_it_is_ready_for_the_start(nginx: Nginx) -> None:
    settings = nginx.settings()
    await bring(settings, OLD)
    assert await bring(nginx.settings(reload_command=("false",)), NEW) == "deployed"
    with nginx.running():
        await comes(settings, NEW.leaf)
        assert await bring(settings, NEW) == "unchanged"


class CrashError(BaseException):
    """Not an Exception: nothing tidies up after a process that was killed."""


FAULTS: dict[str, BaseException] = {
    "full": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "killed": CrashError(),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", ["fsync", "symlink", "mkdir", "replace"])
async def test_a_full_disk_and_a_crash(
    old: Nginx, monkeypatch: pytest.MonkeyPatch, call: str, fault: str
) -> None:
    """At the first such call, the second ...: something good is served, and the next run works."""
    settings, failed = old.settings(), 0
    now = OLD
    real: Callable[..., object] = getattr(os, call)
    for number in range(1, 20):
        calls, new = 0, issue()

        def faulty(*args: object, _number: int = number, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            if calls == _number:
                raise FAULTS[fault]
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, faulty)
            error = await refused(settings, new)
        if calls < number:
            break
        failed += error is not None
        assert error in (None, CrashError) or "No space left" in str(error)
        # Behind the swap nginx may have it already.
        assert await shown(settings) in (now.leaf, new.leaf)
        await bring(settings, new)
        await comes(settings, new.leaf)
        assert Folder(old.folder).target("next") is None
        now = new
    assert failed >= 1


async def refused(settings: Tls, pair: Pair) -> object:
    try:
        await bring(settings, pair)
    except UnavailableError as exc:
        return exc.detail
    except CrashError:
        return CrashError
    return None


_CHILD = """
import asyncio, sys, msgspec
from datetime import datetime
from pathlib import Path
from aistack.settings.schema import Tls
from aistack.tls.deploy import Deployer
from aistack.tls.folder import Folder, read_pair

settings = msgspec.json.decode(sys.argv[1], type=Tls)
folder = Folder(Path(settings.folder))
with folder.lock():
    pair = read_pair(Path(sys.argv[2]), "privkey.pem")
    asyncio.run(Deployer(settings, folder).deploy(pair, datetime.fromisoformat(sys.argv[3])))
"""


def killed(settings: Tls, pair: Pair, place: Path) -> None:
    """A deployment whose process is killed by the command that it runs."""
    files = store(pair, place / "given")
    arguments = [msgspec.json.encode(settings).decode(), str(files), NOW.isoformat()]
    done = subprocess.run([sys.executable, "-c", _CHILD, *arguments], check=False, timeout=60)
    assert done.returncode == -9


KILL = ("sh", "-c", "kill -9 $PPID")


async def test_killed_before_the_swap(old: Nginx, tmp_path: Path) -> None:
    killed(old.settings(test_command=KILL), NEW, tmp_path)
    assert Folder(old.folder).target("next") == NEW.id
    await comes(old.settings(), OLD.leaf)
    assert await bring(old.settings(), OLD) == "unchanged"
    await is_untouched(old)


async def test_killed_between_swap_and_reload_the_next_run_finishes(
    old: Nginx, tmp_path: Path
) -> None:
    killed(old.settings(reload_command=KILL), NEW, tmp_path)
    assert Folder(old.folder).target("live") == NEW.id
    await comes(old.settings(), OLD.leaf)
    assert await bring(old.settings(), NEW) == "unchanged", "settled before"
    await comes(old.settings(), NEW.leaf)
    assert Folder(old.folder).target("next") is None


async def test_killed_between_swap_and_reload_the_next_run_goes_back(
    old: Nginx, tmp_path: Path
) -> None:
    killed(old.settings(reload_command=KILL), NEW, tmp_path)
    with pytest.raises(ConflictError, match="went back"):
        await bring(old.settings(reload_command=("false",)), NEW)
    await is_untouched(old)


async def test_what_was_left_is_no_certificate(old: Nginx, tmp_path: Path) -> None:
    killed(old.settings(reload_command=KILL), NEW, tmp_path)
    (old.folder / "live" / "privkey.pem").unlink()
    third = issue()
    assert await bring(old.settings(test_command=("true",)), third) == "deployed"
    await comes(old.settings(), third.leaf)


async def test_two_at_once_wait_for_each_other(old: Nginx) -> None:
    folder = Folder(old.folder)

    def second() -> None:
        with folder.lock():
            pass

    with folder.lock():
        waiting = asyncio.create_task(asyncio.to_thread(second))
        await asyncio.sleep(0.2)
        assert not waiting.done()
    await waiting


async def test_a_folder_that_cannot_be_read_is_said(nginx: Nginx) -> None:
    folder = Folder(nginx.folder)
    folder.put(OLD)
    folder.point("live", OLD.id)
    (nginx.folder / "live" / "privkey.pem").unlink()
    with pytest.raises(AistackError, match=r"privkey\.pem: No such file"):
        folder.read("live")
