"""The command itself: killed at its steps and run again, finished, and refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from two_majors import Machine

pytestmark = [pytest.mark.slow, pytest.mark.repeats, pytest.mark.timeout(600)]

# What stands in for the service manager: it starts the newer server, and stops either.
SYSTEMCTL = """#!/bin/sh
exec > {home}/run/units 2>&1
case "$*" in
"stop server.service")
    {become} {old.programs}/pg_ctl -w -m fast -D {old.data} stop
    {become} {new.programs}/pg_ctl -w -m fast -D {new.data} stop ;;
"start --no-block server.service")
    {become} {new.programs}/pg_ctl -w -D {new.data} start \\
        -o "{options}" ;;
"start --no-block users.target") touch {home}/users ;;
esac
exit 0
"""


class Command:
    """`aistack postgres` on a machine."""

    def __init__(self, machine: Machine) -> None:
        own = machine.settings
        lines = [f"{name} = {json.dumps(getattr(own, name))}" for name in own.__struct_fields__]
        self._config = machine.home / "config.toml"
        self._config.write_text("\n".join(["[postgres_upgrade]", *lines, ""]))
        programs = machine.home / "bin"
        programs.mkdir()
        become = "setpriv --reuid=65534 --regid=65534 --clear-groups" if os.geteuid() == 0 else ""
        script = SYSTEMCTL.format(
            home=machine.home,
            become=become,
            options=machine.options,
            old=machine.old,
            new=machine.new,
        )
        (programs / "systemctl").write_text(script)
        (programs / "systemctl").chmod(0o755)
        self._environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "aistack", "--config", self._config, "postgres", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._environment,
        )  # fmt: skip

    def run(self, *words: str, code: int = 0) -> str:
        running = self.start(*words)
        said = "".join(running.communicate())
        assert running.returncode == code, said
        return said

    def kill(self, step: str, *words: str) -> None:
        """Run it until it says that a step begins, and kill it then."""
        with self.start(*words) as running:
            assert running.stderr is not None
            heard = ""
            for line in running.stderr:
                heard += line
                if step in line:
                    break
            else:
                pytest.fail(f"it did not come to {step}: {heard}")
            running.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("transfer", ["copy", "link"])
def test_killed_at_its_steps_it_is_done_by_the_next_run(machine: Machine, transfer: str) -> None:
    machine.start(machine.old)
    before = machine.sql("select sum(hashtext(l::text)) from ledger l", "other")
    machine.stop()
    command = Command(machine)
    words = ("upgrade", "--without-backup", "--transfer", transfer)
    for step in ("pg_upgrade (", "comparing", "takes its place"):
        command.kill(step, *words)
    said = command.run(*words)
    assert machine.sql("select sum(hashtext(l::text)) from ledger l", "other") == before
    assert (machine.home / "users").exists()
    assert not list((machine.home / "pg").glob("*.upgrading"))
    (kept,) = (machine.home / "pg").glob(f"{machine.old.data.name}.before-*")
    assert f"{kept} is kept" in said
    # And once more: nothing is to be done.
    assert f"PostgreSQL is at {machine.new.major} already" in command.run(*words)


def test_a_kill_between_two_renames(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(BaseException):
        pass

    def killed_at(moved: Path, until: Path) -> None:
        rename = Path.rename

        def renamed(path: Path, target: Path) -> Path:
            if (path, target) == (moved, until):
                raise KilledError
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", renamed)

    def nothing_is_in_its_place() -> None:
        """No server of either version can start on half of it; the guard sees why."""
        assert not machine.old.data.exists()
        assert not machine.new.data.exists()
        assert staged.exists()

    staged = machine.new.data.with_name(f"{machine.new.data.name}.upgrading") / "data"
    plan = machine.plan()
    killed_at(staged, machine.new.data)
    with pytest.raises(KilledError):
        anyio.run(machine.upgrader().run, plan)
    nothing_is_in_its_place()
    monkeypatch.undo()

    # The newer server does not come up either, and the older one is being put back.
    monkeypatch.setattr(Machine, "start_server", lambda _: None)
    monkeypatch.setattr("aistack.postgres_upgrade.upgrader._START_S", 0)
    killed_at(machine.new.data.with_name(plan.kept), machine.old.data)
    with pytest.raises(KilledError):
        machine.upgrader().resume()
    nothing_is_in_its_place()
    monkeypatch.undo()

    command = Command(machine)
    assert "was not finished" in command.run("upgrade", "--dry-run", code=1)

    # It was in its place when it was killed, and not yet asked.
    def killed(_: Machine) -> None:
        raise KilledError

    monkeypatch.setattr(Machine, "start_server", killed)
    with pytest.raises(KilledError):
        machine.upgrader().resume()
    monkeypatch.undo()
    command.run("upgrade", "--without-backup")
    assert machine.sql("select count(*) from ledger", "other") == [(5000,)]
    assert machine.sql("show data_directory") == [(str(machine.new.data),)]


def test_from_the_first_look_to_the_end(machine: Machine) -> None:
    command = Command(machine)
    machine.start(machine.old)
    said = command.run("upgrade", "--dry-run", code=1)
    assert f"PostgreSQL {machine.old.major} in {machine.old.data}" in said
    assert "in the way: there are no backups: set services.aistack.backups.enable" in said
    told = command.start("upgrade", "--dry-run", "--without-backup", "--json").communicate()
    assert json.loads(told[0])["faults"] == []
    assert "nothing is in the way" in told[1]
    assert machine.old.lives()

    # It is the switch that stops the older server.
    assert "still runs" in command.run("upgrade", "--without-backup", code=1)
    assert machine.old.lives()
    machine.stop()
    assert "no upgrade" in command.run("finish", code=5)
    assert "there are no backups" in command.run("upgrade", code=1)
    assert not (machine.home / "users").exists()

    said = command.run("upgrade", "--without-backup", "--method", "dump")
    assert f"PostgreSQL {machine.new.major} has all" in said
    assert (machine.home / "users").exists()

    (kept,) = (machine.home / "pg").glob(f"{machine.old.data.name}.before-*")
    assert "there are no backups" in command.run("finish", code=1)
    assert f"would delete {kept}" in command.run("finish", "--without-backup", "--dry-run")
    machine.stop()
    assert "does not run" in command.run("finish", "--without-backup", code=1)
    assert kept.exists()
    machine.start(machine.new)
    assert f"deleting {kept}" in command.run("finish", "--without-backup")
    assert not kept.exists()
    assert "no upgrade" in command.run("finish", "--without-backup", code=5)
