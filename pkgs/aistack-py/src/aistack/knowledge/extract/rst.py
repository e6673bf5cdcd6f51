"""reStructuredText, read line by line.

docutils would need seconds for a large file and would stumble over the roles and directives that
only Sphinx knows; search needs no more than the headings and the text.
"""

import re
from typing import Final

from aistack.knowledge.extract.result import Reading, decode

_ADORNMENT: Final = re.compile(r"([!-/:-@\[-`{-~])\1*[ \t]*$")
# Lines that only steer the rendering: targets, index entries, comments of one line.
_MARKUP: Final = re.compile(
    r"\.\. (?:_[^\n]*:|(?:index|contents|toctree|highlight|currentmodule|module|meta)::.*)$"
)
_ROLE: Final = re.compile(r":[a-zA-Z][\w:+.-]{0,40}:`[~!]?([^`<>\n]+?)(?:[ \t]*<[^`<>\n]*>)?`")


def read(source: bytes) -> Reading:
    """Read reStructuredText; the title is its first heading."""
    lines = [line.rstrip() for line in decode(source).split("\n")]
    styles: list[str] = []
    result: list[str] = []
    title = ""
    index = 0
    while index < len(lines):
        style, text, used = _heading(lines, index)
        if used:
            if style not in styles:
                styles.append(style)
            text = _ROLE.sub(r"\1", text)
            title = title or text
            result.append(f"{'#' * min(styles.index(style) + 1, 6)} {text}")
        else:
            used = 1
            line = lines[index]
            if not _MARKUP.match(line):
                result.append(_ROLE.sub(r"\1", line) if ":`" in line else line)
        index += used
    return Reading(title, "\n".join(result))


def _heading(lines: list[str], index: int) -> tuple[str, str, int]:
    """Style, text and number of lines of the heading that begins at a line; 0 lines: none."""
    line = lines[index]
    if not line:
        return "", "", 0
    after = lines[index + 1] if index + 1 < len(lines) else ""
    if _ADORNMENT.match(line):
        under = lines[index + 2] if index + 2 < len(lines) else ""
        if after.strip() and under == line and len(line) >= max(3, len(after.strip())):
            return line[0] * 2, after.strip(), 3
        return "", "", 0
    if (
        line[0] not in " \t."
        and _ADORNMENT.match(after)
        and len(after) >= max(3, min(len(line), 4))
        and not (index and lines[index - 1])
    ):
        return after[0], line, 2
    return "", "", 0
