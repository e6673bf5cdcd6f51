"""An import goes on past a file with a credential, and says why it was left out."""

import os
from pathlib import Path

import msgspec
import pytest
from samples import secrets

from aistack.access.model import LOCAL_OPERATOR
from aistack.knowledge.intake import FileResult, find_files, import_files
from aistack.settings.schema import Settings
from aistack.wiring import open_stack

pytestmark = pytest.mark.anyio


async def test_a_file_with_a_credential_is_skipped(settings: Settings, tmp_path: Path) -> None:
    (key,) = secrets()["aistack-key"]
    root = tmp_path / "docs"
    root.mkdir()
    (root / "a.md").write_text("# Good")
    (root / "b.md").write_text(f"# Bad\n\nkey {key}\n")
    (root / "c.md").write_text("password=changeme ../../etc/passwd <script> ' OR 1=1 --")
    async with open_stack(settings, index=False) as stack:
        results = await import_files(
            stack.documents,
            LOCAL_OPERATOR,
            find_files([root]),
            collection="nixos_docs",
            project="default",
            max_bytes=1024,
            progress=lambda _: None,
        )
        stored = await stack.documents.list(LOCAL_OPERATOR, "nixos_docs")
    assert results[0] == FileResult("a.md", "created")
    assert results[2] == FileResult("c.md", "created")
    assert (results[1].path, results[1].outcome) == ("b.md", "skipped")
    assert "credentials (aistack-key) at line 3, column 5, offset 11" in results[1].reason
    assert key not in results[1].reason
    assert [d.path for d in stored.documents] == ["a.md", "c.md"]


async def test_odd_files_end_no_import(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Good")
    (tmp_path / "circle.md").symlink_to("circle.md")
    Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.md")).write_text("# Latin-1")
    async with open_stack(settings, index=False) as stack:
        results = await import_files(
            stack.documents,
            LOCAL_OPERATOR,
            find_files([tmp_path]),
            collection="nixos_docs",
            project="default",
            max_bytes=1024,
            progress=lambda _: None,
        )
    assert results == [
        FileResult("a.md", "created"),
        FileResult("caf\\xe9.md", "created"),
        FileResult("circle.md", "skipped", "not a regular file"),
    ]
    assert msgspec.json.encode(results)


def test_pictures_beside_documents_are_no_mistake(tmp_path: Path) -> None:
    for name in ("a.md", "deep/b.txt", "deep/c.PNG", "d.woff2", "e.unheard-of", "f.ts"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = [name for _, name in find_files([tmp_path])]
    assert found == ["a.md", "deep/b.txt", "e.unheard-of", "f.ts"]
    # One that was asked for by its name is tried, and told of.
    assert [name for _, name in find_files([tmp_path / "deep" / "c.PNG"])] == ["c.PNG"]
