"""The category of what was reported without one: by words of its kind and message."""

from aistack.issues.model import Category

_WORDS: tuple[tuple[Category, tuple[str, ...]], ...] = (
    (
        "data_integrity",
        ("checksum", "corrupt", "integrity", "constraint", "duplicate key", "data loss",
         "bad magic", "invalid page", "uniqueviolation"),
    ),
    (
        "security",
        ("unauthorized", "unauthorised", "forbidden", "permission denied", "permissionerror",
         "authenticat", "certificate", "tls:", "ssl", "denied by", "invalid signature", "csrf"),
    ),
    (
        "performance",
        ("timeout", "timed out", "time-out", "too slow", "took too long", "slow query",
         "out of memory", "oom-kill", "memoryerror", "too many connections", "queue is full",
         "deadline exceeded"),
    ),
    (
        "configuration",
        ("config", "unknown option", "unknown key", "missing setting", "no such option",
         "environment variable"),
    ),
    (
        "deployment",
        ("migration", "schema is an older", "switch-to-configuration", "nixos-rebuild"),
    ),
    (
        "validation",
        ("validation", "valueerror", "decodeerror", "parse error", "not valid", "invalid value",
         "invalid input", "invalid json", "unexpected token", "typeerror", "keyerror"),
    ),
    (
        "integration",
        ("webhook", "upstream", "endpoint", "bad gateway", "httperror", "http status"),
    ),
    (
        "reliability",
        ("connection refused", "connection reset", "unavailable", "does not answer", "broken pipe",
         "crash", "segfault", "core-dump", "watchdog", "no space left", "operationalerror",
         "connectionerror"),
    ),
    ("monitoring", ("scrape", "prometheus", "alertmanager")),
)  # fmt: skip
_BY_KIND: dict[str, Category] = {"unit": "reliability", "alert": "monitoring"}


def category(kind: str, message: str) -> Category:
    """The first whose words occur, in the order of how much it matters."""
    text = f"{kind} {message[:500]}".lower()
    for name, words in _WORDS:
        for word in words:
            if word in text:
                return name
    return _BY_KIND.get(kind, "other")
