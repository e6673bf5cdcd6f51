"""Measures one worker of `aistack serve`: its start, and its memory before and after a load.

    QDRANT_URL=http://127.0.0.1:6333 python benchmarks/worker.py --documents FOLDER [--json]

Needs the package with its extra `embedded`, and a Qdrant server at QDRANT_URL. Everything else is
made for the run: PostgreSQL, a collection of FOLDER's text files, `aistack serve` as a process. The
load is questions over HTTP, of which none is asked twice until all were. How soon they are answered
is measured by `benchmarks/load`.
"""

import argparse
import asyncio
import json
import os
import secrets
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import serving
import uvloop

from aistack.embedded.postgres import EmbeddedPostgres

CLIENTS = (1, 8, 32)
STARTS = 5


def main() -> None:
    """Parse the command line, run on servers of our own, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=Path, required=True, help="a folder of texts to import")
    parser.add_argument("--files", type=int, default=400, help="most files to import [400]")
    parser.add_argument("--seconds", type=float, default=15, help="of each number of clients [15]")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    url = os.environ.get("QDRANT_URL")
    if not url:
        parser.error("set QDRANT_URL to a Qdrant server: local mode has the index in the worker")
    with tempfile.TemporaryDirectory(prefix="aistack-worker-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        with EmbeddedPostgres(folder / "postgresql") as dsn:
            result = measure(folder, dsn, url, args)
    print(json.dumps(result, indent=2) if args.json else table(result))


def measure(folder: Path, dsn: str, url: str, args: argparse.Namespace) -> dict[str, Any]:
    """Import, start, load; returns all figures (s, MB)."""
    config, port = folder / "config.toml", serving.free_port()
    config.write_text(
        f"[aidb]\nport = {port}\n[postgres]\ndsn = {json.dumps(dsn)}\n"
        f"[qdrant]\nurl = {json.dumps(url)}\nprefix = 'worker-{secrets.token_hex(4)}'\n"
        "[rate_limits]\nenabled = false\n",
        "utf-8",
    )
    spec = asyncio.run(serving.prepare(config, args.documents, args.files))
    spec |= {"port": port, "seconds": args.seconds}
    try:
        starts = [start_and_stop(config, port) for _ in range(STARTS)]
        with (folder / "server.log").open("w") as log:
            server, _, _ = serving.start(config, port, log)
            try:
                idle = serving.memory_mb(server.pid)
                for clients in CLIENTS:
                    uvloop.run(serving.one_round(spec, clients))
                loaded = serving.memory_mb(server.pid)
            finally:
                serving.stop(server)
    finally:
        asyncio.run(serving.forget(config))
    return {
        "passages": spec["passages"],
        "memory_mb": {"started": idle, "after_load": loaded},
        "start_s": {
            "notified": round(statistics.median(s[0] for s in starts), 2),
            "ready": round(statistics.median(s[1] for s in starts), 2),
        },
        "load_average": os.getloadavg()[0],
    }


def start_and_stop(config: Path, port: int) -> tuple[float, float]:
    """Seconds to READY=1 and to 200 on /health/ready of one start."""
    server, notified, ready = serving.start(config, port, subprocess.DEVNULL)
    serving.stop(server)
    return notified, ready


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    memory, begun = result["memory_mb"], result["start_s"]
    return (
        f"{result['passages']} passages; load average at the end {result['load_average']:.1f}\n"
        f"memory of the worker: {memory['started']} MB started, {memory['after_load']} MB after\n"
        f"start (median of {STARTS}): {begun['notified']} s to READY=1, "
        f"{begun['ready']} s to 200 on /health/ready"
    )


if __name__ == "__main__":
    main()
