"""The manual pages: all of them, readable by man, with what the commands and the settings say."""

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from aistack.cli.main import main
from aistack.cli.manual.roff import escaped, prose


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    done = CliRunner().invoke(main, ["manual", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0
    return folder


def plain(page: Path) -> str:
    """A page's words in one line, without its macros."""
    text = re.sub(r"^\.[A-Z]+ ?", "", page.read_text("utf-8"), flags=re.MULTILINE)
    return " ".join(re.sub(r"\\f[BIR]|\\&", "", text).replace("\\-", "-").split())


def test_mandoc_has_nothing_to_say_but_the_missing_date(pages: Path) -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *pages.rglob("aistack*")],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = [line for line in done.stdout.splitlines() if "missing date" not in line]
    assert not said


def test_every_command_has_a_page_that_its_group_names(pages: Path) -> None:
    names = {page.stem for page in (pages / "man1").iterdir()}
    assert {"aistack", "aistack-gc", "aistack-gc-plan", "aistack-backup-key-check"} <= names
    assert len(names) > 55
    assert not any("archive" in name for name in names), "hidden commands have none"
    keys = plain(pages / "man1" / "aistack-keys.1")
    assert "rotate Make a key's successor" in keys
    assert "aistack-keys-rotate(1)" in keys


def test_a_page_has_what_the_help_has(pages: Path) -> None:
    page = plain(pages / "man1" / "aistack-query.1")
    assert "aistack-query - Ask a collection" in page
    assert "aistack query [OPTIONS] QUESTION" in page
    assert "--min-score" in page
    assert "-h, --help" in page
    assert "75 a store does not answer" in plain(pages / "man1" / "aistack.1")


def test_settings_have_defaults_bounds_and_meaning(pages: Path) -> None:
    page = plain(pages / "man5" / "aistack.toml.5")
    assert "port = 8092 A number from 1 to 65535." in page
    assert "max_solutions = 100000 A number from 1. Above this the least valuable go." in page
    assert "[backup.repositories.NAME]" in page
    assert "path (needed) An absolute folder" in page
    assert "ca_file (not set)" in page
    assert 'level = "info" One of debug, info, warning, error.' in page
    # The section's own default, not its kind's.
    questions, documents = page.split("[validation.documents]")
    assert 'credentials = "observe"' in questions
    assert 'credentials = "reject"' in documents


def test_text_never_becomes_a_request() -> None:
    assert escaped(".so /etc/passwd") == "\\&.so /etc/passwd"
    assert escaped("a\\b 'c'") == "a\\eb 'c'"
    assert prose("one\n.two\n\n'three") == "one .two\n.PP\n\\&'three"
    assert prose("run `x -y`") == "run \\fBx \\-y\\fR"
