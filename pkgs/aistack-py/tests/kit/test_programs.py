"""Programs that are started: here, another of our own commands."""

from pathlib import Path

import pytest

from aistack.kit import process


def test_another_command_has_our_modules_and_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ours", "theirs"):
        package = tmp_path / name / "aistack"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(f"import sys; print({name!r}, *sys.argv[1:])")
    # As in a package of Nix, whose start script adds to the path; and as root in anybody's folder.
    monkeypatch.syspath_prepend(tmp_path / "ours")
    monkeypatch.chdir(tmp_path / "theirs")
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # that package is none to count
    assert process.again(["backup", "run"], 60) == "ours backup run\n"


def test_bytes_go_through_a_module_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "turned.py").write_text(
        "import sys, time\n"
        "source = sys.stdin.buffer.read()\n"
        "time.sleep(float(sys.argv[1]))\n"
        "sys.exit('not so') if source == b'fail' else sys.stdout.buffer.write(source[::-1])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert process.through("turned", ["0"], b"\xff\x00\n", 60) == b"\n\x00\xff"
    with pytest.raises(process.FailedError, match="turned failed with status 1: not so") as caught:
        process.through("turned", ["0"], b"fail", 60)
    assert caught.value.status == 1
    with pytest.raises(process.LateError, match=r"turned did not end within 0\.2 s"):
        process.through("turned", ["60"], b"", 0.2)
