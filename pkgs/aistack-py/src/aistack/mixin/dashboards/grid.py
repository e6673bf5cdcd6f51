"""Where panels go: from left to right, a new line where one does not fit any more."""

from collections.abc import Sequence
from typing import NamedTuple

from aistack.mixin.dashboards.model import Panel

COLUMNS = 24


class Place(NamedTuple):
    """In columns and lines from the top left, as Grafana names them."""

    x: int
    y: int
    w: int
    h: int


def place(panels: Sequence[Panel], top: int) -> tuple[list[Place], int]:
    """The place of each panel, and the first line below all.

    Args:
        panels: in reading order.
        top: the first line that is free.
    """
    places: list[Place] = []
    x, y, tallest = 0, top, 0
    for panel in panels:
        if x + panel.width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        places.append(Place(x, y, panel.width, panel.height))
        x, tallest = x + panel.width, max(tallest, panel.height)
    return places, y + tallest
