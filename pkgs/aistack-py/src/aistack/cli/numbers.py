"""Numbers as far as the database and a calendar go: beyond that they are wrong usage."""

import click

ID = click.IntRange(1, 2**53)
"""Of an issue, or of a run."""
COUNT = click.IntRange(1, 2**53)
GENERATION = click.IntRange(1, 2**31 - 1)
"""Of NixOS."""
DAYS = click.IntRange(1, 36_500)
OVERLAP_HOURS = click.FloatRange(0, 24 * 365)
