"""The API's documentation as one self-contained page, without scripts or foreign files."""

from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6677; --paper: #fbfbfc;
  --card: #fff; --line: #dde2ea; --get: #1a6fb5; --post: #1c7c4a; --put: #96600a;
  --delete: #b3312e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #9aa6b6;
  --paper: #14181f; --card: #1b212b; --line: #303a48; --get: #6db3ee; --post: #65c795;
  --put: #e0ad57; --delete: #f08a86; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h2 { margin-top: 2.5rem; text-transform: capitalize; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
details { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  margin: .5rem 0; padding: .6rem 1rem; }
summary { cursor: pointer; } .soft { color: var(--soft); }
.method { display: inline-block; min-width: 4.2rem; font-weight: 700; font-size: .85em; }
.get { color: var(--get); } .post { color: var(--post); } .put { color: var(--put); }
.delete { color: var(--delete); }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
  border-top: 1px solid var(--line); }
"""


def render(document: dict[str, Any]) -> str:
    """Lay out an OpenAPI document as HTML; all its texts are escaped."""
    info = document["info"]
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(info['title'])} <small class=soft>{escape(info['version'])}</small></h1>",
            f"<p>{escape(info['description'])}</p>",
            "<p>Send your key as <code>Authorization: Bearer KEY</code> or "
            "<code>X-API-Key: KEY</code>. Agents connect by MCP at <code>/mcp</code>. "
            'The machine-readable description is <a href="/openapi.json">openapi.json</a>.</p>',
            *_operations(document["paths"]),
            "<h2>schemas</h2>",
            *_schemas(document["components"]["schemas"]),
            "</body></html>",
        ]
    )


def _operations(paths: dict[str, Any]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for path, methods in paths.items():
        for method, operation in methods.items():
            tag = (operation["tags"] or ["other"])[0]
            groups.setdefault(tag, []).append(_operation(method, path, operation))
    for tag, parts in groups.items():
        yield f"<h2>{escape(tag)}</h2>"
        yield from parts


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{escape(item['name'])}</code></td><td>{escape(item['in'])}"
        f"{', required' if item['required'] else ''}</td><td>{_type(item['schema'])}</td></tr>"
        for item in operation.get("parameters", [])
    ]
    if body := operation.get("requestBody"):
        rows.append(f"<tr><td>body</td><td>required</td><td>{_content(body)}</td></tr>")
    answers = [
        f"<tr><td>{escape(status)}</td><td>{_answer(answer)}</td></tr>"
        for status, answer in operation["responses"].items()
    ]
    name = escape(method)
    return (
        f'<details><summary><span class="method {name}">{name.upper()}</span> '
        f"<code>{escape(path)}</code> <span class=soft>{escape(operation['summary'])}</span>"
        f"</summary><p>{escape(operation.get('description', 'Needs no key.'))}</p>"
        + (f"<table><tr><th>Takes<th><th></tr>{''.join(rows)}</table>" if rows else "")
        + f"<table><tr><th>Answers<th></tr>{''.join(answers)}</table></details>"
    )


def _answer(answer: dict[str, Any]) -> str:
    if "$ref" in answer:
        return f"problem <code>{escape(answer['$ref'].rpartition('/')[2])}</code>"
    return f"{escape(answer['description'])} {_content(answer)}"


def _content(holder: dict[str, Any]) -> str:
    return ", ".join(
        f"{_type(part['schema'])} <span class=soft>{escape(media_type)}</span>"
        for media_type, part in holder.get("content", {}).items()
    )


def _schemas(schemas: dict[str, Any]) -> Iterator[str]:
    for name, schema in sorted(schemas.items()):
        required = schema.get("required", [])
        rows = [
            f"<tr><td><code>{escape(key)}</code>{'' if key in required else ' <i>optional</i>'}"
            f"</td><td>{_type(part)}</td></tr>"
            for key, part in schema.get("properties", {}).items()
        ]
        about = escape(str(schema.get("description", "")))
        yield (
            f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> '
            f"<span class=soft>{about}</span></summary><table>{''.join(rows)}</table></details>"
        )


def _type(schema: dict[str, Any]) -> str:
    if ref := schema.get("$ref"):
        name = escape(ref.rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    kind = schema.get("type", "any")
    kind = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    notes = [
        f"{name} {schema[name]}"
        for name in ("format", "minimum", "maximum", "minLength", "maxLength", "pattern", "default")
        if name in schema
    ]
    return escape(kind) + (f" <span class=soft>{escape(', '.join(notes))}</span>" if notes else "")
