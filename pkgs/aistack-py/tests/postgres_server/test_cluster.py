"""A data folder: whether a server uses it is known, or it is not said."""

import os
from pathlib import Path

import pytest

from aistack.errors import UnavailableError
from aistack.kit import process
from aistack.postgres_server.cluster import Cluster


def test_a_folder_whose_server_cannot_be_told_is_not_taken_for_free(tmp_path: Path) -> None:
    data = tmp_path / "data"
    cluster = Cluster(data)
    assert cluster.version is None
    assert not cluster.lives()
    data.mkdir()
    (data / "PG_VERSION").write_text("16\n")
    process.give(data, process.User(65534, 65534) if os.geteuid() == 0 else None)
    assert cluster.version == "16"
    assert not cluster.lives()
    (data / "postmaster.pid").write_text("no number\n")
    with pytest.raises(UnavailableError, match="pg_ctl"):
        cluster.lives()
