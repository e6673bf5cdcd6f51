"""Named queries of a part's .sql file.

Each query stands under a line ``-- name: NAME``. They are LiteralString, so a type checker
refuses SQL that is put together from values.
"""

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def load_queries(package: str, filename: str) -> dict[str, LiteralString]:
    """Name to text of each query of a file inside one of our packages."""
    parts = _NAME.split(files(package).joinpath(filename).read_text("utf-8"))
    names, texts = parts[1::2], parts[2::2]
    return {n: cast("LiteralString", t.strip()) for n, t in zip(names, texts, strict=True)}
