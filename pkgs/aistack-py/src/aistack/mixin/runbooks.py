"""Where a runbook is to be read: as Markdown in a folder, or as a page of the site made from it."""

from typing import Literal, NamedTuple

Ending = Literal[".md", ".html"]
SOURCE = ".md"
"""How alerts and dashboards name their runbook here."""


class Runbooks(NamedTuple):
    """A place that the documentation's folder ``runbooks/`` is at."""

    url: str
    """Of the folder, without a slash at its end."""
    ending: Ending
    """What its pages end with."""

    @classmethod
    def at(cls, url: str, ending: Ending | None = None) -> "Runbooks":
        """The runbooks at an address.

        Args:
            url: of the folder.
            ending: None: a folder of the host has the Markdown, anything else the site.
        """
        return cls(url.rstrip("/"), ending or (".md" if url.startswith("file:") else ".html"))

    def page(self, name: str) -> str:
        """Address of the runbook in a file of ``docs/runbooks``."""
        return f"{self.url}/{name.removesuffix(SOURCE)}{self.ending}"
