"""The grammar of names, shared by the settings and the API."""

from typing import Annotated

from msgspec import Meta

# Python's $ also matches before a last newline; JSON Schema's does not: hence (?!\n).
IDENTIFIER_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$(?!\n)"

Identifier = Annotated[
    str,
    Meta(
        pattern=IDENTIFIER_PATTERN,
        description="1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit",
    ),
]
