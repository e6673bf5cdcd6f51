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
