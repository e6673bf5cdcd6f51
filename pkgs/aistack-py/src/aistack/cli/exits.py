"""One table: what went wrong to exit code."""

from aistack.errors import (
    AistackError,
    ConfigError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)

OK = 0
FAILED = 1
USAGE = 2
PARTIAL = 3
"""Done, but not all of it."""
CONFIG = 4
NOT_FOUND = 5
TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: a store does not answer now."""

HELP = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 done, but not all of it, "
    "4 the configuration cannot work, 5 no such thing, 75 a store does not answer: try again."
)


def exit_code(error: AistackError) -> int:
    """The exit code of an error."""
    table = (
        (ConfigError, CONFIG),
        (InvalidError, USAGE),
        (NotFoundError, NOT_FOUND),
        (UnavailableError, TRY_AGAIN),
    )
    return next((code for kind, code in table if isinstance(error, kind)), FAILED)
