"""What people call: questions, keys, the configuration."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec

from aistack.access.keys import Keys, generate
from aistack.access.model import LOCAL_OPERATOR, SCOPES, KeyInfo, Scope
from aistack.cli.context import command, config_file, json_option, settings_of
from aistack.cli.render import as_json, say, table
from aistack.errors import InvalidError
from aistack.knowledge.model import Filter, Query, SearchPage
from aistack.settings.load import json_schema, load, read_secret
from aistack.stores.postgres import Postgres
from aistack.wiring import open_stack


@click.command()
@click.argument("question")
@click.option("--collection", "-c", required=True, help="The collection to ask.")
@click.option("--mode", type=click.Choice(["auto", "lexical", "dense", "hybrid"]), default="auto")
@click.option("--project", help="Only documents of this project.")
@click.option("--under", help="Only documents below this folder.")
@click.option("--min-score", type=click.FloatRange(0, 1), default=0.0)
@click.option("--limit", "-n", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option("--cursor", help="next_cursor of the page before.")
@json_option
@click.pass_context
@command
async def query(
    ctx: click.Context,
    question: str,
    collection: str,
    mode: str,
    project: str | None,
    under: str | None,
    min_score: float,
    limit: int,
    cursor: str | None,
    json_: bool,
) -> None:
    """Ask a collection."""
    raw = {
        "query": question,
        "collection": collection,
        "mode": mode,
        "min_score": min_score,
        "limit": limit,
        "cursor": cursor,
        "filter": Filter(project=project, under=under),
    }
    try:
        asked = msgspec.convert(raw, Query, from_attributes=True)
    except msgspec.ValidationError as exc:
        raise InvalidError(str(exc)) from exc
    async with open_stack(settings_of(ctx), index=False) as stack:
        page = await stack.search.search(LOCAL_OPERATOR, asked)
    if json_:
        as_json(page)
    else:
        show_hits(page)


def show_hits(page: SearchPage) -> None:
    """Print hits as a person reads them."""
    for number, hit in enumerate(page.hits, 1):
        place = f"{hit.path} - {hit.heading}" if hit.heading else hit.path
        click.echo(click.style(f"{number}. {hit.title}", bold=True) + f"  ({hit.score:.2f})")
        click.echo(click.style(f"   {place}", fg="cyan"))
        text = " ".join(hit.text.split())
        click.echo(f"   {text[:240]}{'...' if len(text) > 240 else ''}\n")
    about = "at least " if page.total.relation == "at_least" else ""
    say(f"{len(page.hits)} of {about}{page.total.value} passages, mode {page.mode}")


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke API keys."""


@keys.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), default=["read"])
@click.option("--collection", "collections", multiple=True, help="Only these [default: all].")
@click.option("--days", type=click.IntRange(1), help="Days until the key ends [default: never].")
@json_option
@click.pass_context
@command
async def create(
    ctx: click.Context,
    name: str,
    scopes: tuple[Scope, ...],
    collections: tuple[str, ...],
    days: int | None,
    json_: bool,
) -> None:
    """Make a key. Its secret is printed now and never again."""
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    async with open_stack(settings_of(ctx), index=False) as stack:
        new = await stack.keys.create(
            name=name, scopes=scopes, collections=collections or None, expires_at=expires_at
        )
    if json_:
        as_json(new)
    else:
        click.echo(new.key)


@keys.command("generate")
@command
async def generate_key() -> None:
    """Print a new key that no database knows yet: for a secret store, and `keys ensure`."""
    click.echo(generate())


@keys.command("ensure")
@click.argument("name")
@click.option("--key-file", required=True, help="File, or credential:NAME of systemd.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), default=["read"])
@click.pass_context
@command
async def ensure_key(
    ctx: click.Context, name: str, key_file: str, scopes: tuple[Scope, ...]
) -> None:
    """Make the key in a file one of this database, unless it is already (even revoked).

    An empty file is none: there is nothing to do.
    """
    key = read_secret(key_file, "--key-file", empty="none")
    if not key:
        say("no key given")
        return
    postgres = Postgres(settings_of(ctx).postgres)
    await postgres.open()
    try:
        made = await Keys(postgres).ensure(key, name=name, scopes=scopes)
    finally:
        await postgres.close()
    say(f"made the key {name}" if made else f"the key {name} exists")


@keys.command("list")
@json_option
@click.pass_context
@command
async def list_keys(ctx: click.Context, json_: bool) -> None:
    """List all keys, without their secrets."""
    async with open_stack(settings_of(ctx), index=False) as stack:
        found = await stack.keys.list()
    if json_:
        as_json(found)
    else:
        show_keys(found)


def show_keys(found: list[KeyInfo]) -> None:
    """Print keys as a table."""
    rows = [
        (k.id, k.name, ",".join(k.scopes), ",".join(k.collections or ["all"]), k.expires_at,
         k.revoked_at, k.last_used_at)
        for k in found
    ]  # fmt: skip
    table(["id", "name", "scopes", "collections", "expires", "revoked", "last used"], rows)


@keys.command("rotate")
@click.argument("id")
@click.option("--overlap-hours", type=click.FloatRange(0), default=24.0, show_default=True)
@json_option
@click.pass_context
@command
async def rotate(ctx: click.Context, id: str, overlap_hours: float, json_: bool) -> None:  # noqa: A002
    """Make a key's successor; the old one ends after the overlap."""
    async with open_stack(settings_of(ctx), index=False) as stack:
        new = await stack.keys.rotate(id, overlap=timedelta(hours=overlap_hours))
    if json_:
        as_json(new)
    else:
        click.echo(new.key)


@keys.command("revoke")
@click.argument("id")
@click.pass_context
@command
async def revoke(ctx: click.Context, id: str) -> None:  # noqa: A002
    """End a key now."""
    async with open_stack(settings_of(ctx), index=False) as stack:
        await stack.keys.revoke(id)
    say(f"revoked {id}")


@click.group("config")
def config() -> None:
    """Check and describe the settings file."""


@config.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.pass_context
@command
async def check(ctx: click.Context, file: Path | None) -> None:
    """Check a settings file without starting anything (secrets are not read)."""
    path = file or config_file(ctx)
    load(path)
    say(f"{path}: ok")


@config.command("schema")
@command
async def schema() -> None:
    """Print the JSON Schema of the settings file."""
    as_json(json_schema())
