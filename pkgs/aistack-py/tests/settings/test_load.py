from pathlib import Path

import pytest

from aistack.errors import ConfigError
from aistack.settings.load import json_schema, load, parse, read_secret


def test_an_empty_file_is_a_working_configuration() -> None:
    settings = parse({})
    assert settings.aidb.port == 8091
    assert len(settings.all_collections()) == 6


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"postgrs": {}}, "unknown key postgrs; did you mean postgres?"),
        ({"aidb": {"prot": 1}}, "unknown key aidb.prot; did you mean port?"),
        ({"collections": {"a": {"descripton": ""}}}, "did you mean description?"),
        ({"aidb": {"port": 0}}, "aidb.port"),
        ({"health": {"critical": ["postgres", "qdrent"]}}, "names qdrent; known are postgres, q"),
        ({"health": {"interval_s": 1, "timeout_s": 1}}, "must be below health.interval_s"),
        ({"collections": {"No!": {}}}, "collections"),
        ({"collections": {"name\n": {}}}, "collections"),
        ({"qdrant": {"path": "/x"}, "aidb": {"workers": 2}}, "aidb.workers"),
        ({"qdrant": {"path": "/x"}, "aidb": {"instances": 2}}, "aidb.instances"),
        ({"aidb": {"drain_s": -1}}, "aidb.drain_s"),
        ({"embeddings": {"endpoint": "http://x/v1"}}, "embeddings.dimension"),
    ],
)
def test_what_cannot_work_is_refused_by_name(raw: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(raw)
    assert says in error.value.detail


def test_a_missing_or_broken_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="AISTACK_CONFIG"):
        load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("= 1")
    with pytest.raises(ConfigError, match="not TOML"):
        load(tmp_path / "bad.toml")


def test_secrets_come_from_files_or_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    assert read_secret(str(tmp_path / "key"), "x") == "s3cret"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret("credential:key", "x") == "s3cret"
    (tmp_path / "empty").write_text("\n")
    for reference in (str(tmp_path / "none"), str(tmp_path / "empty")):
        with pytest.raises(ConfigError, match=r"qdrant\.api_key_file"):
            read_secret(reference, "qdrant.api_key_file")


def test_the_schema_names_every_section() -> None:
    schema = json_schema()
    assert "postgres" in schema["$defs"]["Settings"]["properties"]
