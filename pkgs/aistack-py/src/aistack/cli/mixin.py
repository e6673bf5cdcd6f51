"""``aistack mixin``: rules, alerts and dashboards as files."""

from pathlib import Path
from typing import get_args

import click

from aistack.cli.render import as_json, table
from aistack.mixin.dashboards.queries import queries as all_queries
from aistack.mixin.dashboards.reference import reference as dashboards_reference
from aistack.mixin.render import write
from aistack.mixin.runbooks import Ending, Runbooks
from aistack.monitoring.contract.reference import markdown as metrics_reference

RUNBOOKS = "file:///run/current-system/sw/share/doc/aistack/runbooks"
"""Where the NixOS module puts them."""

_REFERENCES = {"dashboards": dashboards_reference, "metrics": metrics_reference}


@click.group()
def mixin() -> None:
    """What a Prometheus and a Grafana of your own need to watch this."""


@mixin.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--runbooks-url",
    default=RUNBOOKS,
    show_default=True,
    help="Where the documentation's folder runbooks/ is published.",
)
@click.option(
    "--runbooks-ending",
    type=click.Choice(get_args(Ending)),
    help="What pages end with there [default: .html, as the site has it; .md of a file: URL].",
)
def render(folder: Path, runbooks_url: str, runbooks_ending: Ending | None) -> None:
    """Write rules/*.yaml and dashboards/*.json below FOLDER."""
    count = write(folder, Runbooks.at(runbooks_url, runbooks_ending))
    click.echo(f"{count} files below {folder}")


@mixin.command()
@click.option("--json", "json_", is_flag=True, help="Also why one may have no data in a test.")
def queries(*, json_: bool) -> None:
    """List every query of the dashboards, as Prometheus or Loki can be asked."""
    found = all_queries()
    if json_:
        as_json(found)
        return
    rows = [[one.dashboard, one.panel, one.kind, one.expr] for one in found]
    table(["DASHBOARD", "PANEL", "KIND", "QUERY"], rows)


@mixin.command()
@click.argument("what", type=click.Choice(sorted(_REFERENCES)))
def reference(what: str) -> None:
    """Print a page of the reference, in Markdown."""
    click.echo(_REFERENCES[what](), nl=False)
