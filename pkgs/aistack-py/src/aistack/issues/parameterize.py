"""Takes out of a message what differs each time: `connect to 10.0.0.7:5432` -> `connect to <ip>`.

One pattern, whose alternatives are tried in order at each place: the more special comes first.
"""

import re

CHARS = 500
"""So much of a message counts."""

_HEX = "[0-9a-fA-F]"
_UNIT = r"(?:[num\u00b5]?s|sec(?:ond)?s?|min(?:ute)?s?|hours?|[hd]|days?|[kKMGT]i?B|bytes|B|%)"
_NUMBER = r"[+-]?\d[\d_]*(?:[.,]\d+)*(?:[eE][+-]?\d+)?"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d+)?"
_ZONE = r"(?:Z| ?[+-]\d\d:?\d\d| ?UTC| GMT)?"
_TLD = r"(?:com|org|net|io|dev|eu|de|local|lan|internal|test|example)"
_NO_NAME = (
    "is|was|has|had|not|no|unknown|does|did|can|cannot|could|must|may|in|on|of|for|with|and|or|to|"
    "from|at|by|the|an?|input|space|names?|id|agent|data|exists?|already|went|failed|error"
)
_AT_WORDS = {
    "email": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "url": r"[a-z][a-z0-9+.-]{1,20}://(?:\[[0-9a-f:.]+\])?[^\s\"'<>)\],;]*",
    "uuid": rf"{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}",
    "store": r"/nix/store/[^\s\"':,;)\]]+",
    "date": rf"\d{{4}}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?{_ZONE})?"
    rf"|(?:{_DAY},? )?(?:\d\d? )?{_MONTH} +\d\d?(?: \d{{4}})?(?: {_CLOCK}{_ZONE})?(?: \d{{4}})?"
    rf"|\d\d?/(?:\d\d?|{_MONTH})/\d{{4}}(?:[: ]{_CLOCK}{_ZONE})?"
    rf"|{_CLOCK}{_ZONE}",
    "ip": r"\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5}|/\d\d?)?"
    rf"|\[(?:{_HEX}{{0,4}}:){{2,7}}{_HEX}{{0,4}}\](?::\d{{1,5}})?"
    rf"|(?:{_HEX}{{1,4}}:){{3,7}}{_HEX}{{1,4}}"
    rf"|(?:{_HEX}{{1,4}}:){{1,6}}:(?:{_HEX}{{1,4}}(?::{_HEX}{{1,4}})*)?",
    "mac": rf"{_HEX}{{2}}(?::{_HEX}{{2}}){{5}}",
    "host": rf"(?<![.-])(?:[a-z0-9-]+\.)+{_TLD}\b(?::\d{{1,5}})?"
    r"|(?<![.-])[a-z][a-z0-9.-]*:\d{2,5}\b|localhost\b",
    "path": r"(?<![.>])(?:~|\.{1,2})?(?:/[\w.@%+=~-]+){2,}/?|[A-Z]:\\[^\s\"']+",
    # Who or what it was about, where the word before says that a name comes.
    "named": rf"(?P<noun>(?:[Uu]ser|[Rr]ole|[Dd]evice|[Cc]ontainer|[Pp]od|[Tt]able|comm) )"
    rf"(?!(?:{_NO_NAME})\b)[\w.-]+"
    r"|(?P<process>(?:[Pp]rocess|[Pp][Ii][Dd]) )\d+ \([^()\s]{1,32}\)",
    "hex": rf"0x{_HEX}+|(?=\w*\d)(?=\w*[a-fA-F]){_HEX}{{7,64}}(?!\w)",
    # Letters behind digits, and two digits at least: nobody's word.
    "id": r"(?<!-)(?=[A-Za-z0-9_-]*\d[A-Za-z0-9_-]*\d)[A-Za-z0-9_-]*\d[A-Za-z][A-Za-z0-9_-]*",
}
_ANYWHERE = {
    "quoted": r"\"[^\"\n]{1,200}\"|'(?<!\w')[^'\n]{1,200}'(?!\w)|`[^`\n]{1,200}`",
    "number": rf"{_NUMBER} ?{_UNIT}(?![A-Za-z])|{_NUMBER}",
}


def _either(parts: dict[str, str]) -> str:
    return "|".join(f"(?P<{name}>{part})" for name, part in parts.items())


_PATTERN = re.compile(rf"(?<!\w)(?:{_either(_AT_WORDS)})|{_either(_ANYWHERE)}")
_ONE = frozenset({"hex", "id", "number"})
"""They go by one name: 17 and 1f are both what a counter or an address may read."""


def _name(match: "re.Match[str]") -> str:
    if match.lastgroup == "named":
        return (match["noun"] or match["process"]) + "<name>"
    return "<value>" if match.lastgroup in _ONE else f"<{match.lastgroup}>"


def parameterize(message: str) -> str:
    """The message's first line with placeholders, in single spaces."""
    first = message.lstrip()[:CHARS].partition("\n")[0]
    return " ".join(_PATTERN.sub(_name, first).split())
