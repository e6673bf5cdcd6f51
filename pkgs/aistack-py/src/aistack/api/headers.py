"""Headers of ASGI messages, read and set without the classes of a framework."""

from starlette.types import Message, Scope


def header_of(scope: Scope, name: bytes) -> str:
    """A request's first header of that name, which is in lower case; empty if there is none."""
    for own, value in scope["headers"]:
        if own == name:
            return str(value, "latin-1")
    return ""


def headers_of(scope: Scope, name: bytes) -> list[str]:
    """A request's headers of that name, which is in lower case."""
    return [value.decode("latin-1") for own, value in scope["headers"] if own == name]


def set_headers(message: Message, *headers: tuple[bytes, bytes]) -> None:
    """Give an answer these headers, in the place of its own of the same (lower case) names."""
    names = [name for name, _ in headers]
    kept = [header for header in message["headers"] if header[0] not in names]
    message["headers"] = [*kept, *headers]
