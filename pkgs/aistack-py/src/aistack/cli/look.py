"""Questions to a collection."""

import click
import msgspec

from aistack.access.model import LOCAL_OPERATOR
from aistack.cli.context import command, json_option, settings_of
from aistack.cli.render import as_json, say
from aistack.errors import InvalidError
from aistack.knowledge.model import Filter, Query, SearchPage
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
