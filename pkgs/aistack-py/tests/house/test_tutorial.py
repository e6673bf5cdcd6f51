"""Every command of the first tutorial and of the README works, as it stands there."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
TUTORIAL = ROOT / "docs/tutorial/first-answer.md"
PORT = "8091"

pytestmark = [
    pytest.mark.skipif(
        not TUTORIAL.exists(),
        reason="the package's source has no docs; make check runs it with them",
    ),
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


def blocks(page: Path, language: str) -> list[str]:
    """The page's blocks of code in a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)


class Reader:
    """Types what a page says into one shell, in a checkout whose demo has a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "docs", "pkgs", "scripts"):
            (folder / name).symlink_to(ROOT / name)
        (folder / ".venv").symlink_to(sys.prefix)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])

    def start(self, command: str) -> "subprocess.Popen[bytes]":
        # The environment that runs this is installed, whatever its stamp says.
        env = os.environ | {"ARGS": f"--port {self.port}", "MAKEFLAGS": "-o .venv/.installed"}
        with (self.folder / "said").open("wb") as said:
            return subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.folder,
                env=env,
                start_new_session=True,
                stdout=said,
                stderr=subprocess.STDOUT,
            )

    def types(self, *commands: str) -> list[Any]:
        """What each command prints, decoded; the last one's variables are known to the next."""
        script = "\nprintf '\\0'\n".join(commands).replace(PORT, self.port)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            check=False, cwd=self.folder, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [json.loads(answer) for answer in done.stdout.split("\0")]

    def said(self) -> str:
        return (self.folder / "said").read_text("utf-8")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """One with the demo running, by the tutorial's first command; Ctrl-C ends it."""
    reader = Reader(tmp_path_factory.mktemp("checkout"))
    demo = reader.start(blocks(TUTORIAL, "console")[0])
    try:
        end = time.monotonic() + 240
        while "Ctrl-C ends it" not in reader.said():
            assert demo.poll() is None, reader.said()
            assert time.monotonic() < end, reader.said()
            time.sleep(0.2)
        yield reader
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGINT)
        demo.wait(60)


def test_the_tutorial(reader: Reader) -> None:
    start, ask, store, ask_again, tools = blocks(TUTORIAL, "console")
    assert start == "make demo\n"
    assert reader.said().count("aistack_docs") >= 1
    asked, stored, _, listed = reader.types(ask, store, ask_again, tools)
    assert asked["mode"] == "lexical"
    assert "keys" in asked["hits"][0]["path"]
    assert stored["outcome"] == "created"
    assert {tool["name"] for tool in listed["result"]["tools"]} >= {"search", "put_document"}
    key, again = "KEY=$(cat .demo/admin.key)\n", []
    for _ in range(50):
        again = reader.types(key + ask_again)[0]["hits"]
        if again:
            break
        time.sleep(0.2)
    assert again[0]["path"] == "nginx/502.md"
    assert reader.types(key + store)[0]["outcome"] == "unchanged"


def test_the_readme(reader: Reader) -> None:
    (ask,) = (block for block in blocks(ROOT / "README.md", "console") if "curl" in block)
    assert reader.types(ask)[0]["hits"]


def test_clients_are_told_alike(reader: Reader) -> None:
    """The README, the tutorial and the demo say the same to an MCP client."""
    readme, tutorial = (
        json.loads(blocks(page, "json")[0]) for page in (ROOT / "README.md", TUTORIAL)
    )
    assert readme == tutorial
    printed = json.loads(re.search(r"^\{.*^\}", reader.said(), re.M | re.S)[0])  # type: ignore[index]
    server = printed["mcpServers"]["aistack"]
    key = server["headers"]["Authorization"].removeprefix("Bearer ")
    assert key == (reader.folder / ".demo/admin.key").read_text().strip()
    server["headers"]["Authorization"] = "Bearer YOUR_KEY"
    server["url"] = server["url"].replace(reader.port, PORT)
    assert printed == tutorial
