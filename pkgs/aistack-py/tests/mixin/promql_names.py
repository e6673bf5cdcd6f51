"""What a query of Prometheus asks for, read without its parser.

All our queries write their selectors with braces, so names are told apart from functions; what is
left of a query when selectors and texts are gone must be made of known words alone.
"""

import re
from typing import NamedTuple

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring)\s*\([^)]*\)")
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_DURATION = re.compile(r"\[[^\]]*\]|\boffset \w+")
_KNOWN = set(
    """abs and avg bool changes clamp_min count group_left histogram_quantile increase label_replace
    max min or rate round sum time topk unless vector""".split()
)
_JOB = re.compile(r'\bjob(=~?)"([^"]*)"')


class Selector(NamedTuple):
    metric: str
    labels: str

    def jobs(self, known: list[str]) -> list[str]:
        """Which of the jobs it selects from."""
        found = _JOB.search(self.labels)
        if found is None:
            return []
        pattern = found[2] if found[1] == "=~" else re.escape(found[2])
        return [job for job in known if re.fullmatch(pattern, job)]


def selectors(expr: str) -> list[Selector]:
    """All, with their labels as they are written."""
    return [Selector(*found) for found in _SELECTOR.findall(expr)]


def strangers(expr: str) -> set[str]:
    """Words that are neither of the language nor in a selector, such as a metric without braces."""
    rest = _GROUPING.sub(" ", _DURATION.sub(" ", _TEXT.sub(" ", _SELECTOR.sub(" ", expr))))
    return set(_WORD.findall(rest)) - _KNOWN
