"""Looks for secrets where they do not belong.

    leaks.py watch FOLDER               writes what every process shows, until it is stopped
    leaks.py find FILES SYSTEM PATH...  prints where secrets are, in clear or in a usual form
    leaks.py read USER PATH...          prints which of these files the user can read

FILES is a JSON list of the files that hold the secrets, SYSTEM the system in the store. What is found is a JSON list of
[secret's file, form, path].
"""

import base64
import json
import os
import pwd
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

SHORTEST = 20
"""A shorter part of a secret could stand anywhere."""
PERIOD_S = 0.02
REFERENCE = re.compile(rb"/nix/store/[a-z0-9]{32}-[A-Za-z0-9+._?=-]+")
VERSION = re.compile(rb"-\d+[.]\d")
LARGEST = 1024 * 1024
"""No text that a configuration makes is larger."""


def parts(secret: bytes) -> set[bytes]:
    """What of a secret is secret by itself: its lines, the words of a header or an address."""
    found = set()
    for line in secret.splitlines():
        if line.startswith(b"-----"):
            continue
        found |= set(re.findall(rb"[A-Za-z0-9+/=_.~-]{%d,}" % SHORTEST, line))
        if line.startswith(b"aistack_"):
            found.add(line.split(b"_", 2)[2])
        if b"://" in line:
            found.add(line.rsplit(b"/", 1)[1])
    return {part for part in found if len(part) >= SHORTEST}


def forms(part: bytes) -> Iterator[tuple[str, bytes]]:
    """The part as it is, and as programs write it that think it must not be read."""
    yield "clear", part
    yield "hex", part.hex().encode()
    yield "hex", part.hex().upper().encode()
    yield "url", quote(part, safe="").encode()
    # Whatever stands before it shifts the letters: those that it decides alone.
    for before in range(3):
        first, last = -(-before * 8 // 6), (before + len(part)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield "base64", encode(bytes(before) + part)[first:last]


def needles(files: list[str]) -> dict[bytes, tuple[str, str]]:
    """What to look for -> the secret's file and the form."""
    found: dict[bytes, tuple[str, str]] = {}
    for file in files:
        looked_for = parts(Path(file).read_bytes())
        if not looked_for:
            sys.exit(f"{file} has no secret of {SHORTEST} characters or more")
        for part in looked_for:
            for form, needle in forms(part):
                found.setdefault(needle, (file, form))
    return found


def find(files: list[str], paths: list[str]) -> list[list[str]]:
    """Every file below the paths with a secret in it; links are not followed."""
    wanted = needles(files)
    with tempfile.NamedTemporaryFile(dir="/root") as patterns:
        patterns.write(b"\n".join(wanted))
        patterns.flush()
        # Lines end with NUL, of which files of databases are full.
        grep = ["grep", "-razoZF", "--devices=skip", "-f", patterns.name, *paths]
        done = subprocess.run(
            grep, capture_output=True, env={"LC_ALL": "C", "PATH": os.environ["PATH"]}
        )
    # A path and a match in turn.
    told = done.stdout.split(b"\0")
    found = {
        (*wanted[match], path.decode())
        for path, match in zip(told[::2], told[1::2], strict=False)
        if path.decode() != patterns.name
    }
    return [list(one) for one in sorted(found)]


def made(system: str) -> list[str]:
    """What a configuration made in the store: what the system refers to, but no packages.

    Those have versions in their names, and were built before any secret was.
    """
    found: set[str] = set()
    left = [system]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        for file in [Path(path)] if Path(path).is_file() else Path(path).rglob("*"):
            if file.is_symlink():
                text = os.readlink(file).encode()
            elif file.is_file() and file.stat().st_size < LARGEST:
                text = file.read_bytes()
            else:
                continue
            left += [one.decode() for one in REFERENCE.findall(text) if not VERSION.search(one)]
    return sorted(path for path in found if Path(path).exists())


def readable(user: str, paths: list[str]) -> list[str]:
    """Which of the files the user can open, with all of their groups."""
    who = pwd.getpwnam(user)
    os.setgroups(os.getgrouplist(user, who.pw_gid))
    os.setgid(who.pw_gid)
    os.setuid(who.pw_uid)
    return [path for path in paths if os.access(path, os.R_OK)]


def name_of(uid: int) -> str:
    """The user's name; the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def watch(folder: Path) -> None:
    """Write arguments and environment of every process, once each time it begins another program.

    A file's name tells the process, its user and its program: ``PID.USER.PROGRAM.KIND``.
    """
    seen: dict[str, bytes] = {}
    while True:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            process = Path("/proc", pid)
            try:
                arguments = (process / "cmdline").read_bytes()
                if not arguments or seen.get(pid) == arguments:
                    continue
                environment = (process / "environ").read_bytes()
                program = (process / "comm").read_text().strip().replace("/", "_")
                user = name_of(process.stat().st_uid)
            except OSError:
                # It has ended.
                continue
            seen[pid] = arguments
            name = f"{pid}.{user}.{program}"
            for kind, text in (("arguments", arguments), ("environment", environment)):
                with (folder / f"{name}.{kind}").open("ab") as file:
                    file.write(text.replace(b"\0", b"\n"))
        time.sleep(PERIOD_S)


match sys.argv[1:]:
    case ["watch", folder]:
        watch(Path(folder))
    case ["find", files, system, *paths]:
        print(json.dumps(find(json.loads(files), [*made(os.path.realpath(system)), *paths])))
    case ["read", user, *paths]:
        print(json.dumps(readable(user, paths)))
    case _:
        sys.exit(__doc__)
