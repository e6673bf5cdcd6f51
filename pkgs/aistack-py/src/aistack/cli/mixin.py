"""``aistack mixin``: rules, alerts and dashboards as files."""

from pathlib import Path

import click

from aistack.mixin.render import write
from aistack.monitoring.contract.reference import markdown

RUNBOOKS = "file:///run/current-system/sw/share/doc/aistack/runbooks"
"""Where the NixOS module puts them."""


@click.group()
def mixin() -> None:
    """What a Prometheus and a Grafana of your own need to watch this."""


@mixin.command()
@click.argument("what", type=click.Choice(["metrics"]))
def reference(what: str) -> None:  # noqa: ARG001  # one so far
    """Print a page of the reference, in Markdown."""
    click.echo(markdown(), nl=False)


@mixin.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--runbooks-url",
    default=RUNBOOKS,
    show_default=True,
    help="Where the documentation's folder runbooks/ is published.",
)
def render(folder: Path, runbooks_url: str) -> None:
    """Write rules/*.yaml and dashboards/*.json below FOLDER."""
    count = write(folder, runbooks_url=runbooks_url.rstrip("/"))
    click.echo(f"{count} files below {folder}")
