"""Text as roff, by the macros of man(7)."""

import re

from aistack import __version__

_CODE = re.compile(r"(``?)(.+?)\1")


def escaped(text: str) -> str:
    """Text that means itself, on one line."""
    line = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    # A dot or an apostrophe would begin a request.
    return f"\\&{line}" if line[:1] in (".", "'") else line


def prose(text: str) -> str:
    """Paragraphs, with what stands in backticks in bold."""
    paragraphs = [one for one in re.split(r"\n\s*\n", text.strip()) if one.strip()]
    return "\n.PP\n".join(_CODE.sub(r"\\fB\2\\fR", escaped(one)) for one in paragraphs)


def bold(text: str) -> str:
    """Text in bold."""
    return f"\\fB{escaped(text)}\\fR"


def italic(text: str) -> str:
    """Text in italics."""
    return f"\\fI{escaped(text)}\\fR"


def title(name: str, section: int) -> str:
    """The head of a page."""
    return f'.TH "{escaped(name.upper())}" "{section}" "" "aistack {__version__}" "aistack"'


def item(term: str, text: str) -> str:
    """A term, already roff, and what it means."""
    return f".TP\n{term}\n{prose(text) or '.br'}"


def page(*parts: str) -> str:
    """A whole page of its parts."""
    return "\n".join(part for part in parts if part) + "\n"
