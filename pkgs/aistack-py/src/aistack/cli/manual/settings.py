"""aistack.toml(5): every setting with its default, bounds and meaning, from the schema itself."""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
from msgspec.inspect import DictType, Field, StructType

from aistack.cli.manual.roff import bold, escaped, item, page, prose, title
from aistack.settings.schema import Settings

_INTRODUCTION = """
One file in TOML holds all settings. Each has a default, so an empty file is a whole one. An unknown
key is an error that names the nearest right one; `aistack config check` checks a file without
starting anything.

A setting that ends in `_file` names a file with a secret, or a credential of systemd as
`credential:NAME`. Names in capitals below are yours to choose.
"""


def settings_page() -> str:
    """The page's text."""
    return page(
        title("aistack.toml", 5),
        ".SH NAME",
        "aistack.toml \\- settings of aistack",
        ".SH SYNOPSIS",
        bold("/etc/aistack/config.toml"),
        ".SH DESCRIPTION",
        prose(_INTRODUCTION),
        ".SH SECTIONS",
        *_section(msgspec.inspect.type_info(Settings), "", Settings()),
        ".SH SEE ALSO",
        f"{bold('aistack')}(1),\n{bold('aistack-config-check')}(1)",
    )


def _section(kind: msgspec.inspect.Type, path: str, defaults: Any) -> Iterator[str]:
    """A section and those within it; defaults: one of it, or None where it has a name."""
    if isinstance(kind, DictType) and isinstance(kind.value_type, StructType):
        kind, path, defaults = kind.value_type, f"{path}.NAME", None
    assert isinstance(kind, StructType)  # noqa: S101
    texts = _texts(kind.cls)
    within = [one for one in kind.fields if _is_section(one.type)]
    if path:
        yield f".SS [{escaped(path)}]"
        yield prose(inspect.getdoc(kind.cls) or "")
    for one in kind.fields:
        if one not in within:
            text = " ".join(filter(None, (_bounds(one.type), texts.get(one.name))))
            yield item(f"{bold(one.name)} {escaped(_default(one, defaults))}", text)
    for one in within:
        yield from _section(
            one.type, f"{path}.{one.name}".lstrip("."), getattr(defaults, one.name, None)
        )


def _is_section(kind: msgspec.inspect.Type) -> bool:
    return isinstance(kind, StructType) or (
        isinstance(kind, DictType) and isinstance(kind.value_type, StructType)
    )


def _texts(section: type) -> dict[str, str]:
    """Field to the text below it, of a section and those that it extends."""
    found: dict[str, str] = {}
    for cls in reversed(section.__mro__):
        if issubclass(cls, msgspec.Struct) and cls is not msgspec.Struct:
            tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
            body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
            for before, after in pairwise(body):
                if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
                    text = _text(after)
                    found |= {before.target.id: text} if text else {}
    return found


def _text(node: ast.stmt) -> str:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
    return ""


def _default(one: Field, defaults: Any) -> str:
    if defaults is None and one.required:
        return "(needed)"
    default = getattr(defaults, one.name, one.default)
    return "(not set)" if default in (None, "") else f"= {_toml(default)}"


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _bounds(kind: msgspec.inspect.Type) -> str:
    """The bounds of a number, or the words of which one is taken; empty without any."""
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    for one in kinds:
        one = one.type if isinstance(one, msgspec.inspect.Metadata) else one
        if words := re.fullmatch(r"\^\(([\w|]+)\)\$", str(getattr(one, "pattern", None))):
            return f"One of {', '.join(words[1].split('|'))}."
        lowest = [
            f"{word} {getattr(one, name)}"
            for name, word in (("ge", "from"), ("gt", "above"), ("le", "to"), ("lt", "below"))
            if getattr(one, name, None) is not None
        ]
        if lowest:
            return f"A number {' '.join(lowest)}."
    return ""
