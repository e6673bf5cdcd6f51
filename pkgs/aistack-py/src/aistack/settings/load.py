"""Reads the settings file and the secrets that it names. The only reader of the environment."""

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from aistack.errors import ConfigError
from aistack.settings.schema import DEPENDENCIES, Backup, Notify, Repository, Settings, Tls

DEFAULT_PATH = Path("/etc/aistack/config.toml")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]+)`(?: - at `\$?\.?(?P<path>[^`]*)`)?")


def config_path(given: Path | None = None) -> Path:
    """The settings file: the given one, else ``$AISTACK_CONFIG``, else /etc/aistack/config.toml."""
    return given or Path(os.environ.get("AISTACK_CONFIG", DEFAULT_PATH))


def load(path: Path) -> Settings:
    """Read and check one TOML file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or breaks the schema; names the key
            and, for an unknown key, the nearest right one.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        hint = "give --config FILE or set AISTACK_CONFIG"
        raise ConfigError(f"cannot read {path}: {exc.strerror}; {hint}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is not TOML: {exc}") from exc
    try:
        return parse(raw)
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc.detail}") from exc


def parse(raw: dict[str, Any]) -> Settings:
    """Turn a decoded TOML document into `Settings`; raises `ConfigError`."""
    try:
        settings = msgspec.convert(raw, Settings)
    except msgspec.ValidationError as exc:
        raise ConfigError(_explain(str(exc))) from exc
    _cross_check(settings)
    return settings


def json_schema() -> dict[str, Any]:
    """The schema of the settings file as JSON Schema 2020-12."""
    return msgspec.json.schema(Settings)


def read_secret(
    reference: str, setting: str, *, empty: Literal["refused", "none"] = "refused"
) -> str:
    """The secret that a ``*_file`` setting names, without its last newline.

    Args:
        reference: a path, or ``credential:NAME`` of systemd.
        setting: the setting's name, for the error.
        empty: what an empty file is: an error, or the empty string.

    Raises:
        ConfigError: the file is missing, unreadable or empty: never "no secret, then".
    """
    path = secret_path(reference, setting)
    try:
        secret = path.read_text("utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{setting}: cannot read the secret file {path}") from exc
    if not secret and empty == "refused":
        raise ConfigError(f"{setting}: the secret file {path} is empty")
    return secret


def secret_path(reference: str, setting: str) -> Path:
    """The file that a ``*_file`` setting names; raises `ConfigError` outside of a systemd unit."""
    if not reference:
        raise ConfigError(f"{setting} is not set")
    if not reference.startswith("credential:"):
        return Path(reference)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ConfigError(f"{setting} names a systemd credential, but none were passed")
    return Path(folder) / Path(reference.removeprefix("credential:")).name


def _explain(message: str) -> str:
    found = _UNKNOWN.search(message)
    if not found:
        return message.replace("`$.", "`")
    name, path = found["name"], found["path"] or ""
    known = _keys_at(path)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    where = f"{path}.{name}" if path else name
    hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
    return f"unknown key {where}; {hint}"


def _keys_at(path: str) -> list[str]:
    """Names of the keys in the section that a msgspec error path points at."""
    kind: Any = msgspec.inspect.type_info(Settings)
    # msgspec writes [...] for any key of a table: collections[...].description
    for name in filter(None, path.replace("[...]", "").split(".")):
        if isinstance(kind, msgspec.inspect.StructType):
            kind = next((f.type for f in kind.fields if f.name == name), None)
        if isinstance(kind, msgspec.inspect.DictType):
            kind = kind.value_type
    fields = kind.fields if isinstance(kind, msgspec.inspect.StructType) else ()
    return [f.name for f in fields]


def _cross_check(settings: Settings) -> None:
    """What no single field can tell."""
    qdrant, embed, chunk = settings.qdrant, settings.embeddings, settings.chunking
    for name, server in (("aidb", settings.aidb), ("coordinator", settings.coordinator)):
        if qdrant.path is not None and server.workers * server.instances > 1:
            raise ConfigError(
                f"{name}.workers and {name}.instances must be 1 with qdrant.path: local mode has"
                " one process"
            )
    if sum(msgspec.structs.astuple(settings.learning.weights)) <= 0:
        raise ConfigError("one of learning.weights must be above 0")
    if qdrant.path is None and qdrant.url is None:
        raise ConfigError("set qdrant.url (a server) or qdrant.path (local mode)")
    if embed.endpoint is not None and (not embed.model or embed.dimension < 1):
        raise ConfigError("embeddings.endpoint needs embeddings.model and embeddings.dimension")
    if chunk.overlap * 2 > chunk.size:
        raise ConfigError("chunking.overlap must be at most half of chunking.size")
    if unknown := set(settings.health.critical) - set(DEPENDENCIES):
        raise ConfigError(
            f"health.critical names {', '.join(sorted(unknown))}; known are "
            f"{', '.join(DEPENDENCIES)}"
        )
    if settings.health.timeout_s >= settings.health.interval_s:
        raise ConfigError("health.timeout_s must be below health.interval_s")
    _check_tls(settings.tls)
    _check_backup(settings.backup)
    _check_notify(settings.issues.notify)
    if settings.postgres.pool_min > settings.postgres.pool_max:
        raise ConfigError("postgres.pool_min must not exceed postgres.pool_max")


def _check_tls(tls: Tls) -> None:
    if (tls.certificate_file is None) != (tls.key_file is None):
        raise ConfigError("tls.certificate_file and tls.key_file belong together: set both or none")
    if (tls.provider == "selfSigned") != (tls.certificate_file is None):
        raise ConfigError(
            f"tls.provider is {tls.provider}; tls.certificate_file, where others leave a "
            "certificate, belongs to all but selfSigned"
        )


def _check_notify(notify: Notify) -> None:
    if notify.ntfy_token_file and not notify.ntfy_url_file:
        raise ConfigError("issues.notify.ntfy_token_file needs issues.notify.ntfy_url_file")


def _check_backup(backup: Backup) -> None:
    if not backup.repositories:
        return
    for setting in ("key_file", "data_dir"):
        if not getattr(backup, setting):
            raise ConfigError(f"backup.repositories needs backup.{setting}")
    needed = {
        "directory": ("path",),
        "s3": ("path", "host", "bucket", "key_id_file", "key_secret_file"),
        "sftp": ("path", "host", "user", "private_key_file", "known_hosts_file"),
    }
    for name, one in backup.repositories.items():
        at = f"backup.repositories.{name}"
        for key in needed[one.kind]:
            if not getattr(one, key):
                raise ConfigError(
                    f"{at}.{key} is not set: a repository of kind {one.kind} needs it"
                )
        if not one.path.startswith("/"):
            raise ConfigError(f"{at}.path must begin with /")
        _check_words(at, one)


def _check_words(at: str, one: Repository) -> None:
    """What restic hands to ssh in one line."""
    for key in ("host", "user", "private_key_file", "known_hosts_file"):
        word: str = getattr(one, key) or ""
        if re.search(r"[\s\"']", word) or word.startswith("-"):
            raise ConfigError(f"{at}.{key} must have no spaces or quotes, and not begin with -")
