"""The category of what was reported without one: by words of its kind and message."""

import re

from aistack.issues.model import Category

_WORDS: tuple[tuple[Category, str], ...] = (
    (
        "data_integrity",
        r"checksum|corrupt|integrity|constraint|duplicate key|data loss|bad magic|invalid page"
        r"|uniqueviolation",
    ),
    (
        "security",
        r"unauthori[sz]ed|forbidden|permission denied|permissionerror|authenticat|certificate"
        r"|\btls\b|\bssl\b|denied by|invalid signature|csrf",
    ),
    (
        "performance",
        r"time[d ]?-?out|timeout|too slow|took too long|slow query|out of memory|oom-kill"
        r"|memoryerror|too many connections|queue is full|deadline exceeded",
    ),
    (
        "configuration",
        r"config|unknown option|unknown key|missing setting|no such option|environment variable",
    ),
    (
        "deployment",
        r"migration|schema is an older|activation|switch-to-configuration|nixos-rebuild",
    ),
    (
        "validation",
        r"validation|valueerror|decodeerror|parse error|not valid|invalid (?:value|input|json)"
        r"|unexpected token|typeerror|keyerror",
    ),
    (
        "integration",
        r"webhook|upstream|endpoint|bad gateway|\b50[234]\b|httperror|http status|\bapi\b",
    ),
    (
        "reliability",
        r"^unit\b|connection (?:refused|reset)|unavailable|does not answer|broken pipe|crash"
        r"|segfault|core-dump|watchdog|no space left|operationalerror|connectionerror",
    ),
    ("monitoring", r"^alert\b|scrape|prometheus|alertmanager"),
)
_RULES = tuple((name, re.compile(words, re.IGNORECASE)) for name, words in _WORDS)


def category(kind: str, message: str) -> Category:
    """The first that fits, in the order of how much it matters."""
    text = f"{kind} {message[:500]}"
    return next((name for name, pattern in _RULES if pattern.search(text)), "other")
