"""Splits a document's text into the pieces that are indexed; pure and in linear time.

Each cut falls at the best place in the last part of what still fits: between paragraphs, else
lines, sentences, words, else anywhere. Each window is looked at a bounded number of times, since a
piece always gets past the overlap by a share of its size or up to the next place to cut.
"""

import re
from bisect import bisect_right
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from msgspec import Struct

MAX_HEADING: Final = 200
Kind = Literal["prose", "code"]

_MARKS: Final = re.compile(
    r"^(?:(#{1,6})[ \t]+(\S[^\n]*)|[ \t]*(`{3,}(?=[^`\n]*$)|~{3,})([^\n]*))$", re.MULTILINE
)
_CLOSING: Final = re.compile(r"[ \t]+#+\s*$")
_PARAGRAPH: Final = re.compile(r"\n[ \t\r]*\n")
_DEFINITION: Final = re.compile(r"\n[ \t\r]*\n(?=[^\s})\]])")
_SENTENCE: Final = re.compile(r"[.!?][\"')\]]?\s+|[\u3002\uff01\uff1f]")
_SPACE: Final = re.compile(r"\s+")
_VISIBLE: Final = re.compile(r"\S")


class Piece(Struct, frozen=True):
    """A passage of a text."""

    ordinal: int
    heading: str
    """Headings above it, outermost first, joined by ' > '; at most MAX_HEADING characters."""
    text: str
    """Never blank; the same as text[start:end] of the whole."""
    start: int
    end: int


class _Section(NamedTuple):
    path: tuple[str, ...]
    start: int
    end: int
    body: int
    """Where the text after its heading line begins."""


class _Span(NamedTuple):
    start: int
    end: int


def split(text: str, *, kind: Kind, size: int, overlap: int) -> list[Piece]:
    """Split a text.

    Args:
        text: headings are Markdown '#' lines.
        kind: code has no headings and is cut between definitions.
        size: greatest length of a piece in characters, at least 1.
        overlap: characters that a piece repeats from the one before in the same section; at most a
            third of size is used.

    Returns:
        The pieces in order; together they hold every character that is not white space.
    """
    if size < 1 or overlap < 0:
        raise ValueError("size must be at least 1 and overlap at least 0")
    sections, fences = _sections(text) if kind == "prose" else ([_whole(text)], [])
    cutter = _Cutter(text, kind, size, min(overlap, size // 3), fences)
    pieces: list[Piece] = []
    for section in _merged(text, sections, size):
        heading = " > ".join(section.path)[:MAX_HEADING].rstrip()
        for start, end in cutter.cut(section.start, section.end):
            pieces.append(Piece(len(pieces), heading, text[start:end], start, end))
    return pieces


def _whole(text: str) -> _Section:
    return _Section((), 0, len(text), 0)


def _sections(text: str) -> tuple[list[_Section], list[_Span]]:
    """Sections by heading, and the fenced blocks; a '#' line within a fence is no heading."""
    fences: list[_Span] = []
    heads: list[tuple[int, int, tuple[str, ...]]] = [(0, 0, ())]
    stack: list[tuple[int, str]] = []
    fence, opened = "", 0
    for mark in _MARKS.finditer(text):
        if mark[3]:
            if not fence:
                fence, opened = mark[3], mark.start()
            elif mark[3].startswith(fence) and not mark[4].strip():
                fences.append(_Span(opened, mark.end()))
                fence = ""
        elif not fence:
            level = len(mark[1])
            while stack and stack[-1][0] >= level:
                stack.pop()
            # A name longer than the whole path may be would only cost memory.
            stack.append((level, _CLOSING.sub("", mark[2][: MAX_HEADING + 50]).strip()))
            heads.append((mark.start(), mark.end(), tuple(name for _, name in stack)))
    heads.append((len(text), len(text), ()))
    sections = [_Section(a[2], a[0], b[0], a[1]) for a, b in pairwise(heads) if a[0] < b[0]]
    return sections, fences


def _merged(text: str, sections: list[_Section], size: int) -> list[_Section]:
    """Join sections of which one is small with the next under the same heading."""
    result: list[_Section] = []
    for section in sections:
        if not result:
            result.append(section)
            continue
        last = result[-1]
        below = bool(last.path) and section.path[: len(last.path)] == last.path
        beside = len(last.path) > 1 and section.path[: len(last.path) - 1] == last.path[:-1]
        small = min(last.end - last.start, section.end - section.start) < size // 4
        if (below or beside) and small and section.end - last.start <= size:
            result[-1] = last._replace(end=section.end)
        elif below and not _VISIBLE.search(text, last.body, last.end):
            # A bare heading says nothing by itself: it leads the first section below it.
            result[-1] = section._replace(start=last.start)
        else:
            result.append(section)
    return result


class _Cutter:
    """Cuts one section after the other of a text."""

    def __init__(self, text: str, kind: Kind, size: int, overlap: int, fences: list[_Span]) -> None:
        self.text = text
        self.size = size
        self.overlap = overlap
        self.paragraphs = (_DEFINITION, _PARAGRAPH) if kind == "code" else (_PARAGRAPH,)
        self.fences = [fence for fence in fences if fence.end - fence.start <= size]
        self.starts = [fence.start for fence in self.fences]

    def cut(self, begin: int, stop: int) -> list[tuple[int, int]]:
        """Spans of the pieces of text[begin:stop]."""
        spans: list[tuple[int, int]] = []
        position = begin
        repeat = False
        while visible := _VISIBLE.search(self.text, position, stop):
            first = visible.start()
            start = base = self._line_start(position, first)
            if repeat and spans:
                start = self._overlapped(spans[-1], base, first)
            fence = self._fence(first)
            if fence and fence.end > start + self.size:
                start = base  # rather whole than with what came before
            limit = min(start + self.size, stop)
            position = stop if limit == stop else self._break(start, first, limit)
            end = start + len(self.text[start:position].rstrip())
            spans.append((start, end))
            follows = self._fence(position)
            repeat = self.overlap > 0 and not (follows and follows.start == position)
        return spans

    def _line_start(self, position: int, first: int) -> int:
        """Keep the indentation of a first line, unless it is absurdly wide."""
        line = self.text.rfind("\n", position, first) + 1
        if not line:
            whole = position == 0 or self.text[position - 1] == "\n"
            line = position if whole else first
        return line if first - line < self.size // 2 else first

    def _overlapped(self, before: tuple[int, int], base: int, first: int) -> int:
        """Where a piece begins that repeats the end of the one before: at a line or a word."""
        end = before[1]
        # From the character before on, so that a word or line that begins at the bound counts.
        low = max(end - self.overlap - 1, before[0])
        start = self.text.find("\n", low, end) + 1
        if not start or not self.text[start:end].strip():
            space = _SPACE.search(self.text, low, end)
            start = space.end() if space else 0
        if not low < start < end or self._fence(start) or first - start > self.size // 2:
            return base
        return start

    def _fence(self, position: int) -> _Span | None:
        """The fenced block that could be kept whole around a position."""
        index = bisect_right(self.starts, position) - 1
        if index >= 0 and position < self.fences[index].end:
            return self.fences[index]
        return None

    def _break(self, start: int, first: int, limit: int) -> int:
        """Where to end the piece that begins at start and must hold the character at first."""
        found = self._best(start, first, limit)
        fence = self._fence(found)
        if fence and fence.start < found:
            if fence.end <= limit:
                return fence.end
            if fence.start > first:
                return fence.start
        return found

    def _best(self, start: int, first: int, limit: int) -> int:
        size, text = self.size, self.text
        for pattern in self.paragraphs:
            if found := _last(pattern, text, first + size // 4, limit):
                return found
        late = max(first + 1, start + size // 2)
        if (line := text.rfind("\n", late, limit)) >= 0:
            return line + 1
        return _last(_SENTENCE, text, late, limit) or _last(_SPACE, text, first + 1, limit) or limit


def _last(pattern: re.Pattern[str], text: str, low: int, high: int) -> int:
    """End of the last match within text[low:high]; 0: there is none."""
    end = 0
    for match in pattern.finditer(text, low, high):
        end = match.end()
    return end
