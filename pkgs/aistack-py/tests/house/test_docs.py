"""The documentation hangs together; the check `docs` looks at it again, and at the built site."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").is_dir(),
    reason="the package's source has no docs; make check runs it with them",
)


def python(*args: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *args], check=False, capture_output=True, text=True)


def test_no_link_leads_nowhere() -> None:
    done = python(ROOT / "checks/lib/links.py", ROOT)
    assert done.returncode == 0, done.stdout


def test_every_page_is_in_the_index(tmp_path: Path) -> None:
    done = python(ROOT / "pkgs/docs/book.py", ROOT / "docs", tmp_path / "src")
    assert done.returncode == 0, done.stderr
    assert "(troubleshooting.md)" in (tmp_path / "src/SUMMARY.md").read_text("utf-8")


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("## Do\n\n- [A page](a.md)\n- [Gone](gone.md)\n")
    (docs / "a.md").write_text(
        "# A\n\n## Its head\n\n[b](b.md#there) [a](#its-head) [o](../x.nix)\n"
    )
    (docs / "b.md").write_text(
        "# B\n\n## There\n\n```\n# no head\n```\n\n[c](a.md#no-head) ![p](p.png)\n"
    )
    links = python(ROOT / "checks/lib/links.py", tmp_path)
    assert links.returncode == 1
    assert links.stdout.splitlines() == [
        "docs/a.md: ../x.nix leads nowhere",
        "docs/b.md: a.md#no-head leads nowhere",
        "docs/b.md: p.png leads nowhere",
        "docs/index.md: gone.md leads nowhere",
        "3 pages, 4 broken links",
    ]
    book = python(ROOT / "pkgs/docs/book.py", docs, tmp_path / "src")
    assert book.returncode == 1
    assert "b.md is not listed in index.md" in book.stderr
    assert "index.md lists gone.md, which is not there" in book.stderr


def test_troubleshooting_quotes_what_is_really_said() -> None:
    sources = [*(ROOT / "pkgs/aistack-py/src").rglob("*.py"), *(ROOT / "modules").rglob("*.nix")]
    # Texts go over several lines.
    said = re.sub(
        r'"\s*\n\s*f?"|\s+',
        lambda gap: "" if '"' in gap[0] else " ",
        "".join(map(Path.read_text, sources)),
    )
    page = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    quotes = re.findall(r"^\| (?:\d{3} )?`([^`]+)`", page, re.MULTILINE)
    parts = [part.strip() for quote in quotes for part in quote.split("…")]
    assert len(quotes) > 40
    assert not [part for part in parts if part not in said]


def test_what_is_wrong_with_a_site_is_named(tmp_path: Path) -> None:
    (tmp_path / "searchindex-1.js").touch()
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#top">b</a><a href="c.html">'
    )
    (tmp_path / "b.html").write_text(
        '<script src="https://cdn.example/x.js"></script><a href="a.html#top"><a href="https://x.example">'
    )
    (tmp_path / "s.css").write_text("@import url(//fonts.example/f.css);")
    done = python(ROOT / "checks/lib/site.py", tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "a.html: b.html#top: no such anchor",
        "a.html: c.html leads nowhere",
        "b.html: loads https://cdn.example/x.js",
        "s.css: loads url(//fonts.example/f.css",
        "2 pages of the site, 4 faults",
    ]
