"""The engine of the detectors: rules in, findings out; pure, and linear in the text's length.

All rules work on UTF-8 bytes. Lowering bytes touches ASCII alone and keeps every offset, which
`str.lower` does not, and searching bytes is several times faster.
"""

import re
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from msgspec import Struct

Kind = Literal["markup", "sql", "traversal", "credentials", "injection"]
KINDS: tuple[Kind, ...] = ("markup", "sql", "traversal", "credentials", "injection")

_CONTINUATION = bytes(range(0x80, 0xC0))
"""Bytes of UTF-8 that begin no character."""


class Finding(Struct, frozen=True):
    """Something suspicious; never what it reads, only where it is."""

    kind: Kind
    rule: str
    start: int
    """First character, counted from 0."""
    end: int
    """One past the last character."""


class View(Struct, frozen=True):
    """A text as the detectors see it: both have the same length in bytes."""

    raw: bytes
    low: bytes
    """With A-Z in lower case."""


class Span(NamedTuple):
    """A finding in bytes of the view."""

    kind: Kind
    rule: str
    start: int
    end: int


Detector = Callable[[View], Iterable[Span]]
Check = Callable[[View, "re.Match[bytes]"], bool]


class Rule(Struct, frozen=True, kw_only=True):
    """A detector of one pattern.

    For linear time every repetition in a pattern has an upper bound, and checks look at a bounded
    stretch around their match. For speed a pattern begins with a literal: where that is a single
    character, or the needles are rare, a text without it costs next to nothing.
    """

    kind: Kind
    name: str
    needles: tuple[bytes, ...]
    """The pattern is tried only from the first of these on (in lower case unless ``raw``)."""
    pattern: re.Pattern[bytes]
    raw: bool = False
    """Whether upper and lower case differ."""
    group: int = 0
    """The group of the pattern that is the finding."""
    check: Check | None = None
    """What the pattern cannot say."""
    most: int | None = None
    """Only for texts of at most so many bytes."""

    def __call__(self, view: View) -> tuple[Span, ...]:
        """The first place where the rule holds, or nothing."""
        text = view.raw if self.raw else view.low
        if self.most is not None and len(text) > self.most:
            return ()
        first = -1
        for needle in self.needles:
            at = text.find(needle)
            if at >= 0 and (first < 0 or at < first):
                first = at
        if first < 0:
            return ()
        for match in self.pattern.finditer(text, max(0, first - _BEFORE)):
            if self.check is None or self.check(view, match):
                return (Span(self.kind, self.name, *match.span(self.group)),)
        return ()


_BEFORE = 64
"""A pattern may begin so many bytes before its needle."""


class Scanner:
    """Detectors, put in order once: a needle of several rules is looked for once a text.

    Most questions have few of the needles, so most rules are not even called.
    """

    def __init__(self, detectors: Iterable[Detector]) -> None:
        self._detectors = tuple(detectors)
        self._always: list[int] = []
        raw: dict[str, list[int]] = {}
        low: dict[str, list[int]] = {}
        for index, detector in enumerate(self._detectors):
            if not isinstance(detector, Rule):
                self._always.append(index)
                continue
            for needle in detector.needles:
                table = raw if detector.raw else low
                table.setdefault(needle.decode("latin-1"), []).append(index)
        self._raw, self._low = tuple(raw.items()), tuple(low.items())

    def __call__(self, text: str) -> list[Finding]:
        """The first finding of each rule, by position; takes any text, raises nothing.

        At most one finding a rule keeps the answer, and so the log, short whatever is sent.
        """
        raw = text.encode("utf-8", "surrogatepass")
        view = View(raw, raw.lower())
        place = _same if len(raw) == len(text) else _counting(raw)
        found: dict[tuple[Kind, str], Finding] = {}
        for detector in self._called_for(view):
            for kind, rule, start, end in detector(view):
                known = found.get((kind, rule))
                if known is None or place(start) < known.start:
                    found[kind, rule] = Finding(kind, rule, place(start), place(end))
        return sorted(found.values(), key=lambda one: (one.start, one.end, one.kind, one.rule))

    def _called_for(self, view: View) -> list[Detector]:
        called = list(self._always)
        # Plain loops: a question without anything suspicious does little more than these. As
        # characters, one a byte: asking a short str is four times as fast as asking bytes.
        text = view.low.decode("latin-1")
        for needle, rules in self._low:
            if needle in text:
                called += rules
        text = view.raw.decode("latin-1")
        for needle, rules in self._raw:
            if needle in text:
                called += rules
        return [self._detectors[index] for index in sorted(set(called))]


def scan(text: str, detectors: Iterable[Detector]) -> list[Finding]:
    """What one look by these detectors finds; for many looks, keep a `Scanner`."""
    return Scanner(detectors)(text)


def position(text: str, offset: int) -> tuple[int, int]:
    """Line and column of a character, both counted from 1; only a newline ends a line."""
    line = text.count("\n", 0, offset) + 1
    return line, offset - text.rfind("\n", 0, offset)


def _same(offset: int) -> int:
    return offset


def _counting(raw: bytes) -> Callable[[int], int]:
    """Byte to character offset; a bound inside a character counts as behind it."""

    def place(offset: int) -> int:
        return len(raw[:offset].translate(None, _CONTINUATION))

    return place
