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


def rows(name: str) -> list[tuple[list[str], str]]:
    """The keys that each row of a table describes, in full, and its second cell."""
    found = []
    for line in (REFERENCE / name).read_text("utf-8").splitlines():
        if line.startswith("| `"):
            cells = line.split(" | ")
            first, *others = re.findall(r"`([^`]+)`", cells[0])
            # In a cell, what follows belongs to the same section.
            section = first.rpartition(".")[0]
            found.append(([first, *(f"{section}.{other}" for other in others)], cells[1]))
    return found


def described() -> set[str]:
    return {name for names, _ in rows("configuration.md") for name in names}


def default(name: str) -> Any:
    value: Any = Settings()
    for part in name.split("."):
        value = getattr(value, part)
    return value


def written(value: Any) -> str:
    if isinstance(value, tuple):
        return "[{}]".format(", ".join(f'"{one}"' for one in value))
    return str(value)


def test_every_key_is_described() -> None:
    told = described()
    found = set(keys(msgspec.inspect.type_info(Settings)))
    # `coordinator.*` is as another section, KIND is one of those that the row lists.
    whole = {re.sub(r"\.(\*|KIND)$", ".", name) for name in told}
    missing = {key for key in found - told if not key.startswith(tuple(whole - told))}
    assert not missing


def test_runbooks_name_settings_that_are_there() -> None:
    found = set(keys(msgspec.inspect.type_info(Settings)))
    sections = {key.partition(".")[0] for key in found}
    named = {
        f"{page.name}: {key}": key
        for page in [*DOCS.glob("runbooks/*.md"), DOCS / "troubleshooting.md"]
        for key in re.findall(r"`([a-z_]+\.[a-z_.]+)\b", page.read_text("utf-8"))
        if key.partition(".")[0] in sections
    }
    assert len(named) > 15
    # Of a section, too, as `validation.questions`.
    found |= {key.rpartition(".")[0] for key in found}
    assert not [told for told, key in named.items() if key not in found]


def test_every_described_key_is_there() -> None:
    found = set(keys(msgspec.inspect.type_info(Settings)))
    gone = []
    for name in described():
        whole = re.sub(r"\.(\*|KIND)$", ".", name)
        if not any(key == name or (whole != name and key.startswith(whole)) for key in found):
            gone.append(name)
    assert not gone


def test_described_defaults_are_the_settings_own() -> None:
    """Of rows with a default for each key, or one for all of them."""
    wrong = []
    for names, cell in rows("configuration.md"):
        told = re.findall(r"`([^`]+)`", cell)
        if any(re.search(r"NAME|KIND|\*", name) for name in names) or not told:
            continue
        values = [value for name in names if (value := default(name)) not in (None, "")]
        shown = [
            str(value).lower() if isinstance(value, bool) else written(value) for value in values
        ]
        if sorted({*told}) != sorted({*shown}):
            wrong.append((names, cell, shown))
    assert not wrong


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


def test_every_described_command_and_option_is_there() -> None:
    known = dict(commands(main, ""))
    gone = []
    for line in (REFERENCE / "cli.md").read_text("utf-8").splitlines():
        if not line.startswith("| `"):
            continue
        name = line.split("`")[1]
        command = next((known[p] for p in known if f"{name} ".startswith(f"{p} ")), None)
        if command is None:
            gone.append(name)
            continue
        there = {opt for p in command.params for opt in (*p.opts, *p.secondary_opts)}
        options = line.rpartition(" | ")[2]
        gone += [
            f"{name} {o}" for o in re.findall(r"(?<![\w-])--[a-z-]+", options) if o not in there
        ]
    assert not gone


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
