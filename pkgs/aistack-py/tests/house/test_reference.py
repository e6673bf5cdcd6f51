"""The reference names all that there is: what it leaves out nobody finds."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import pytest

from aistack.api.console.app import PAGES
from aistack.api.services import SERVICES
from aistack.cli.main import main
from aistack.jobs.ledger import Job
from aistack.settings.schema import DEPENDENCIES, Settings

DOCS = Path(__file__).parents[4] / "docs"
REFERENCE = DOCS / "reference"

pytestmark = pytest.mark.skipif(
    not DOCS.is_dir(), reason="the package's source has no docs; make check runs it with them"
)


def words(name: str) -> set[str]:
    """All that stands in backticks."""
    return set(re.findall(r"`([^`]+)`", (REFERENCE / name).read_text("utf-8")))


def keys(kind: Any, path: str = "") -> Iterator[str]:
    """Every key of the settings, as in ``gc.min_value``."""
    if isinstance(kind, msgspec.inspect.DictType):
        values = kind.value_type
        named = f"{path}.NAME" if isinstance(values, msgspec.inspect.StructType) else path
        yield from keys(values, named)
    elif isinstance(kind, msgspec.inspect.StructType):
        for field in kind.fields:
            yield from keys(field.type, f"{path}.{field.name}".lstrip("."))
    else:
        yield path


def test_every_key_is_described() -> None:
    rows = [
        re.findall(r"`([^`]+)`", line.split("|")[1])
        for line in (REFERENCE / "configuration.md").read_text("utf-8").splitlines()
        if line.startswith("| `")
    ]
    described: set[str] = set()
    for first, *others in rows:
        # In a cell, what follows belongs to the same section.
        section = first.rpartition(".")[0]
        described |= {first, *(f"{section}.{other}" for other in others)}
    found = set(keys(msgspec.inspect.type_info(Settings)))
    # `coordinator.*` is as another section, KIND is one of those that the row lists.
    whole = {re.sub(r"\.(\*|KIND)$", ".", name) for name in described}
    missing = {key for key in found - described if not key.startswith(tuple(whole - described))}
    assert not missing


def test_every_dependency_and_every_job_is_named() -> None:
    assert set(DEPENDENCIES) <= words("configuration.md")
    assert set(DEPENDENCIES) <= words("metrics.md")
    assert set(get_args(Job)) <= words("metrics.md")


def test_every_command_and_option_is_described() -> None:
    text = (REFERENCE / "cli.md").read_text("utf-8")
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    missing = []
    for path, command in commands(main, ""):
        row = next((rows[name] for name in rows if f"{name} ".startswith(f"{path} ")), None)
        if row is None:
            missing.append(path)
            continue
        options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
        missing += [
            f"{path} {option.opts[0]}"
            for option in options
            if not any(name in row for name in option.opts)
        ]
    assert not missing


def test_every_route_is_described() -> None:
    text = (REFERENCE / "http-api.md").read_text("utf-8")
    served = {one.path for service in SERVICES.values() for one in service.endpoints}
    served |= {page.path for page in PAGES}
    paths = {re.sub(r":\w+}", "}", path) for path in served}
    assert not sorted(path for path in paths if path not in text)


def test_what_the_threat_model_says_holds_a_promise_is_there() -> None:
    page = (DOCS / "explanation" / "security.md").read_text("utf-8")
    tests = re.findall(r"`(tests/[a-z_./]+)`", page)
    listed = "|".join(re.findall(r"checks? ((?:`[a-z-]+`(?:, | and )?)+)", page))
    checks = set(re.findall(r"`([a-z-]+)`", listed))
    assert len(tests) > 5
    assert len(checks) > 8
    package, root = Path(__file__).parents[2], DOCS.parent
    missing = [path for path in tests if not (package / path).exists()]
    assert not missing + [name for name in checks if not (root / f"checks/{name}.nix").exists()]


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if command.hidden:
            continue
        where = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from commands(command, where)
        else:
            yield where, command
