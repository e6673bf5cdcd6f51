"""How the settings' repositories look to pgBackRest and to restic.

Both take everything from the environment: no secret is an argument, and no file holds one.
"""

import os
from pathlib import Path

from aistack.errors import ConfigError
from aistack.settings.load import read_secret, secret_path
from aistack.settings.schema import Backup, Repository

_SSH_PORT = 22
_HTTPS_PORT = 443
_FOREVER = "9999999"
"""What pgBackRest keeps by its own rules, which know no weeks and months: ours decide."""


def key(settings: Backup) -> str:
    """The key of every repository; raises `ConfigError`."""
    if settings.key_file is None:
        raise ConfigError("backup.key_file is not set: backups are always encrypted")
    return read_secret(settings.key_file, "backup.key_file")


def repository(settings: Backup, name: str) -> Repository:
    """One repository by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    found = settings.repositories.get(name)
    if found is None:
        known = ", ".join(settings.repositories) or "none"
        raise ConfigError(f"no repository {name} in backup.repositories; there are: {known}")
    return found


def pgbackrest(settings: Backup, secret: str, only: str | None = None) -> dict[str, str]:
    """The environment of pgBackRest, with all repositories or with only one.

    With all of them, most commands fail where a single one is away.
    """
    # Each repository with its own: what waits for one must not hold up another.
    own = f"/{only}" if only else ""
    options = {
        "stanza": settings.stanza,
        "pg1-path": settings.data_dir,
        "lock-path": f"{settings.state_dir}/lock{own}",
        "spool-path": f"{settings.state_dir}/spool{own}",
        "log-level-file": "off",
        "log-level-console": "off",
        "log-level-stderr": "warn",
        "log-timestamp": "n",
        "archive-timeout": str(settings.archive_timeout_s),
        "compress-type": "zst",
        "compress-level": "3",
        "process-max": "2",
        "start-fast": "y",
    }
    for position, name in enumerate([only] if only else settings.repositories, 1):
        one = repository(settings, name)
        for option, value in _pgbackrest_repository(name, one, secret).items():
            options[f"repo{position}-{option}"] = value
    environment = {f"PGBACKREST_{k.upper().replace('-', '_')}": v for k, v in options.items()}
    # Labels are of local time, and must not go back when summer ends.
    return environment | {"TZ": "UTC"}


def _pgbackrest_repository(name: str, one: Repository, secret: str) -> dict[str, str]:
    options = {
        "path": f"{one.path.rstrip('/')}/pgbackrest",
        "cipher-type": "aes-256-cbc",
        "cipher-pass": secret,
        "bundle": "y",
        "retention-full": _FOREVER,
    }
    at = f"backup.repositories.{name}"
    match one.kind:
        case "s3":
            options |= {
                "type": "s3",
                "s3-bucket": one.bucket,
                "s3-endpoint": one.host,
                "s3-region": one.region,
                "s3-uri-style": "path",
                "s3-key": read_secret(one.key_id_file or "", f"{at}.key_id_file"),
                "s3-key-secret": read_secret(one.key_secret_file or "", f"{at}.key_secret_file"),
                "storage-port": str(one.port or _HTTPS_PORT),
            }
            if one.ca_file:
                options["storage-ca-file"] = one.ca_file
        case "sftp":
            options |= {
                "type": "sftp",
                "sftp-host": one.host,
                "sftp-host-port": str(one.port or _SSH_PORT),
                "sftp-host-user": one.user,
                "sftp-host-key-hash-type": "sha256",
                "sftp-host-key-check-type": "strict",
                "sftp-known-host": str(secret_path(one.known_hosts_file or "", at)),
                "sftp-private-key-file": str(secret_path(one.private_key_file or "", at)),
            }
    return options


def restic(settings: Backup, name: str, secret: str) -> dict[str, str]:
    """The environment of restic for one repository."""
    one = repository(settings, name)
    at = f"backup.repositories.{name}"
    path = f"{one.path.rstrip('/')}/restic"
    environment = {
        "RESTIC_PASSWORD": secret,
        "RESTIC_CACHE_DIR": f"{settings.state_dir}/cache",
        "RESTIC_PROGRESS_FPS": "0.016",
    }
    match one.kind:
        case "s3":
            port = one.port or _HTTPS_PORT
            environment |= {
                "RESTIC_REPOSITORY": f"s3:https://{one.host}:{port}/{one.bucket}{path}",
                "AWS_ACCESS_KEY_ID": read_secret(one.key_id_file or "", f"{at}.key_id_file"),
                "AWS_SECRET_ACCESS_KEY": read_secret(
                    one.key_secret_file or "", f"{at}.key_secret_file"
                ),
                "AWS_DEFAULT_REGION": one.region,
            }
        case "sftp":
            environment["RESTIC_REPOSITORY"] = f"sftp:{one.user}@{one.host}:{path}"
        case _:
            environment["RESTIC_REPOSITORY"] = path
    return environment


def restic_options(settings: Backup, name: str) -> list[str]:
    """Arguments that restic needs for one repository."""
    one = repository(settings, name)
    if one.kind == "s3" and one.ca_file:
        return ["--cacert", one.ca_file]
    if one.kind == "sftp":
        at = f"backup.repositories.{name}"
        # A shell-like string of restic's own; none of these may hold a space (settings/load.py).
        command = [
            "ssh", "-F", "none", "-p", str(one.port or _SSH_PORT), "-l", one.user,
            "-i", str(secret_path(one.private_key_file or "", at)),
            "-o", f"UserKnownHostsFile={secret_path(one.known_hosts_file or '', at)}",
            "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
            "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=30", one.host, "-s", "sftp",
        ]  # fmt: skip
        return ["-o", f"sftp.command={' '.join(command)}"]
    return []


def free_bytes(one: Repository) -> int | None:
    """Free space of a repository that is a folder; None: not to be known."""
    if one.kind != "directory":
        return None
    found = os.statvfs(_nearest(Path(one.path)))
    return found.f_bavail * found.f_frsize


def _nearest(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
