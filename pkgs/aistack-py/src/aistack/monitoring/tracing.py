"""Tracing as the settings want it."""

from contextlib import AbstractContextManager

from aistack.errors import ConfigError
from aistack.kit import tracing
from aistack.settings.load import read_secret
from aistack.settings.schema import Tracing

_HEADERS = "tracing.headers_file"


def traced(settings: Tracing, service: str) -> AbstractContextManager[None]:
    """Trace until the block ends, if a collector is named.

    Raises:
        ConfigError: the headers' file cannot be read, or has a line that is none.
    """
    headers = {}
    if settings.endpoint is not None and settings.headers_file is not None:
        headers = _headers(read_secret(settings.headers_file, _HEADERS))
    return tracing.running(
        settings.endpoint, service=service, ratio=settings.sample_ratio, headers=headers
    )


def _headers(text: str) -> dict[str, str]:
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = line.partition(":")
        if not (colon and name.strip() and value.strip()):
            # Not the line itself: it may hold the key.
            raise ConfigError(f"{_HEADERS} wants a header in each line, as in Name: value")
        found[name.strip()] = value.strip()
    return found
