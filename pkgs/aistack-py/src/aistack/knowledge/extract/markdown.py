"""Markdown: as it is, with underlined headings made '#' lines."""

import re
from typing import Final

from aistack.knowledge.extract.result import Reading, decode

_ATX: Final = re.compile(r"(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_FENCE: Final = re.compile(r"[ \t]*(`{3,}|~{3,})")
_FRONT_TITLE: Final = re.compile(r"title:[ \t]*(\S.*)")
# What cannot be the text of an underlined heading: indented code, lists, quotes, tables, HTML.
_NO_HEADING: Final = re.compile(r"[ \t]{4}|\t|[ \t]*(?:[-*+>|<#]|\d+[.)][ \t]|`{3}|~{3})")
_UNDERLINE: Final = re.compile(r" {0,3}(?:=+|-{2,})[ \t]*$")


def read(source: bytes) -> Reading:
    """Read Markdown; the title is that of the front matter, else the first heading of level 1."""
    lines = decode(source).split("\n")
    title, index = _front_matter(lines)
    result = lines[:index]
    fence = ""
    while index < len(lines):
        line = lines[index].rstrip("\r")
        marker = _FENCE.match(line)
        if fence:
            if marker and marker[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif marker and not (marker[1][0] == "`" and "`" in line[marker.end() :]):
            fence = marker[1]
        elif level := _underlined(lines, index):
            title = title or (line.strip() if level == 1 else "")
            result.append(f"{'#' * level} {line.strip()}")
            index += 2
            continue
        elif not title and (heading := _ATX.match(line)) and len(heading[1]) == 1:
            title = heading[2]
        result.append(lines[index])
        index += 1
    return Reading(title, "\n".join(result))


def _front_matter(lines: list[str]) -> tuple[str, int]:
    """Title in the YAML front matter and the number of its lines; ("", 0) without one."""
    if lines[0].rstrip() != "---":
        return "", 0
    title = ""
    for index, line in enumerate(lines[1:200], start=1):
        if line.rstrip() in {"---", "..."}:
            return title, index + 1
        if found := _FRONT_TITLE.match(line):
            title = found[1].strip().strip("\"'")
    return "", 0


def _underlined(lines: list[str], index: int) -> int:
    """Level of the underlined heading that begins at a line; 0: none does."""
    if index + 1 == len(lines) or not _UNDERLINE.match(lines[index + 1].rstrip("\r")):
        return 0
    line = lines[index]
    # Only one-line headings: with a paragraph before, "---" is mostly meant as a rule.
    if not line.strip() or _NO_HEADING.match(line) or (index and lines[index - 1].strip()):
        return 0
    return 1 if "=" in lines[index + 1] else 2
