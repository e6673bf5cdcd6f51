"""The error tree: everything that can go wrong and that a caller may be told.

Each class has a stable ``code``. Two tables at the edges turn it into an HTTP status
(`aistack.api.problems`) and an exit code (`aistack.cli.exits`). Whatever else is raised is a bug.
"""

from typing import Literal

Reason = Literal[
    "too_large", "encoding", "control_character", "empty", "schema", "cursor", "screened", "other"
]
"""Why a question is refused, for the metrics: few values, and none of a client's words."""


class AistackError(Exception):
    """Base of all errors whose text may be shown to the caller.

    Args:
        detail: what is wrong and, where there is one, the option that mends it. No internals.
        pointer: JSON pointer to the offending field of the request, where one is known.
    """

    code = "error"

    def __init__(self, detail: str, *, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer


class InvalidError(AistackError):
    """The request cannot be understood or breaks a stated bound.

    Args:
        detail: what is wrong.
        pointer: JSON pointer to the offending field.
        reason: why, as the metrics name it.
    """

    code = "invalid"
    reason: Reason = "other"

    def __init__(
        self, detail: str, *, pointer: str | None = None, reason: Reason | None = None
    ) -> None:
        super().__init__(detail, pointer=pointer)
        if reason is not None:
            self.reason = reason


class TooLargeError(InvalidError):
    """The request is larger than a stated bound."""

    code = "too-large"
    reason = "too_large"


class UnauthenticatedError(AistackError):
    """No key, or none that is valid now."""

    code = "unauthenticated"


class ForbiddenError(AistackError):
    """The key is valid but lacks the scope."""

    code = "forbidden"


class NotFoundError(AistackError):
    """No such thing, or none that this key may know of: both answer alike."""

    code = "not-found"


class ConflictError(AistackError):
    """The thing is not in the state that the request assumes."""

    code = "conflict"


class PreconditionError(ConflictError):
    """An If-Match or If-None-Match condition does not hold."""

    code = "precondition-failed"


class ConfigError(AistackError):
    """The configuration cannot work; the text names the setting."""

    code = "config"


class RateLimitedError(AistackError):
    """The client has asked more than it may.

    Args:
        detail: which bound it met.
        retry_after_s: whole seconds after which the same request would pass.
    """

    code = "rate-limited"

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(f"{detail}; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class UnavailableError(AistackError):
    """A store or endpoint does not answer now; the same request may succeed later.

    Args:
        detail: what does not answer, in the product's words.
        retry_after_s: whole seconds after which a retry is sensible.
    """

    code = "unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 2) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
