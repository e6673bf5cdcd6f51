from collections.abc import Iterator
from pathlib import Path

import pytest
from webserver import Nginx


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    """One that does not run yet."""
    return Nginx(tmp_path)
