"""Load at the edge: the whole stack behind nginx and TLS, beside the bare engine and a rival.

    make load                                        # from the top: installs what the run needs
    python benchmarks/load --minutes 12 [--rival PYTHON] [--json FILE]

Starts PostgreSQL, Redis, Qdrant (the one on PATH, else `engine.py`), an embedding endpoint, two
`aistack serve` (limits off; on, but raised so that nobody meets them), mcp-server-qdrant and nginx;
imports the sources of Python's standard library; then lets 1, 8 and 64 clients ask each way in
turn. Each round has every way once, so that a noisy machine hurts all, and what is told is the
median of the rounds' ratios. The memory of every server is looked at between rounds. All of it is
on loopback, and it ends by itself.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import re
import shutil
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import report
import uvloop
from client import Turn, Way, take_turn
from edge import NAME, write_certificate, write_config
from embedding import DIMENSION, MODEL, embed
from processes import Processes, free_port
from qdrant_client import AsyncQdrantClient, models
from ways import Asked, Ports, all_ways

from aistack.access.model import LOCAL_OPERATOR
from aistack.embedded.postgres import EmbeddedPostgres
from aistack.knowledge import bm25
from aistack.knowledge.intake import find_files, import_files
from aistack.knowledge.terms import STOPWORDS, terms
from aistack.migrations.runner import migrate
from aistack.settings.load import load
from aistack.wiring import Stack, open_stack

COLLECTION, MIRROR = "nixos_docs", "mirror"
RAISED = 1_000_000
"""Requests a minute for a key: the limits count every request and refuse none."""
FILE_BYTES = 128 * 1024
SETTLE_S = 1
"""Before memory is looked at: connections that just ended still have theirs."""
HERE = Path(__file__).parent


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=12, help="the whole run [12]")
    parser.add_argument("--rounds", type=int, default=4, help="of all ways, a multiple of 4 [4]")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--ways", nargs="+", help="only these (see the table's names)")
    parser.add_argument("--documents", type=Path, default=Path(sysconfig.get_path("stdlib")))
    parser.add_argument("--files", type=int, default=300, help="most files to import [300]")
    parser.add_argument("--rival", type=Path, help="a Python that has mcp-server-qdrant")
    parser.add_argument("--json", type=Path, help="also write all figures there")
    args = parser.parse_args()
    if args.rounds % 4:
        parser.error("--rounds must be a multiple of 4: memory is told by quarters")
    with tempfile.TemporaryDirectory(prefix="aistack-load-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL and nginx may run as other users
        with EmbeddedPostgres(folder / "postgresql") as dsn, Processes(folder) as processes:
            result = uvloop.run(measure(folder, dsn, processes, args))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(report.markdown(result))
    if any(row["errors"] for row in result["load"]):
        sys.exit(1)


async def measure(
    folder: Path, dsn: str, processes: Processes, args: argparse.Namespace
) -> dict[str, Any]:
    """Start everything, fill it, let all ways take turns."""
    begun, load_before = time.monotonic(), os.getloadavg()[0]
    postmaster = folder / "postgresql" / "data" / "postmaster.pid"
    processes.pids["PostgreSQL"] = int(postmaster.read_text("ascii").split()[0])
    redis = str(folder / "redis.sock")
    options = ["--port", "0", "--unixsocket", redis, "--save", "", "--maxmemory", "256mb"]
    options += ["--maxmemory-policy", "allkeys-lru"]  # as the module sets it
    processes.start("Redis", ["redis-server", *options, "--dir", folder], redis)
    engine = start_engine(folder, processes)
    embeddings = free_port()
    command = [sys.executable, HERE / "embedding.py", str(embeddings)]
    processes.start("embedding endpoint", command, embeddings)

    configs = {}
    for limits in (False, True):
        port = free_port()
        name = "AIDB, limits" if limits else "AIDB"
        configs[name] = (port, folder / f"{name}.toml")
        configs[name][1].write_text(
            f"[aidb]\nport = {port}\nallowed_hosts = ['{NAME}']\n"
            f"[postgres]\ndsn = {json.dumps(dsn)}\n[qdrant]\nurl = 'http://127.0.0.1:{engine}'\n"
            f"[redis]\nurl = 'unix://{redis}'\n"
            f"[embeddings]\nendpoint = 'http://127.0.0.1:{embeddings}/v1'\n"
            f"model = '{MODEL}'\ndimension = {DIMENSION}\nbatch_size = 256\n"
            f"[rate_limits]\nenabled = {str(limits).lower()}\n"
            f"per_minute = {RAISED}\nper_hour = {60 * RAISED}\n",
            "utf-8",
        )
    asked = await prepare(configs["AIDB"][1], engine, args)
    for name, (port, config) in configs.items():
        command = [sys.executable, "-m", "aistack", "--config", config, "serve"]
        processes.start(name, command, port)
    servers = {"unlimited": configs["AIDB"][0], "limited": configs["AIDB, limits"][0]}
    if args.rival:
        servers["rival"] = free_port()
        processes.start(
            "mcp-server-qdrant",
            [args.rival, HERE / "rival.py", str(servers["rival"])],
            servers["rival"],
            QDRANT_URL=f"http://127.0.0.1:{engine}",
            COLLECTION_NAME=MIRROR,
        )
    edge = {name: (free_port(), port) for name, port in servers.items()}
    tls = write_certificate(folder)
    config = write_config(folder, edge, limited="limited", per_address=10 * RAISED)
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    processes.start("nginx", [nginx, "-c", config], edge["limited"][0])

    own = {name: port for name, (port, _) in edge.items()}
    ways = all_ways(Ports(engine, own["unlimited"], own["limited"], own.get("rival")), asked, tls)
    ways = {name: way for name, way in ways.items() if not args.ways or name in args.ways}
    gc.collect()
    gc.freeze()  # what the import left must not stop the load generator
    for name, way in ways.items():  # connections, prepared statements, caches
        await take_turn(way, max(args.clients), 1, f"warm/{name}")
    turns = args.rounds * len(ways) * len(args.clients)
    turn_s = max(0.5, (60 * args.minutes - (time.monotonic() - begun)) / turns)
    found, samples = await take_turns(ways, processes, args, turn_s)
    return {
        "passages": len(asked.words),
        "engine": "Qdrant" if "Qdrant" in processes.pids else "Qdrant's engine by engine.py",
        "rounds": args.rounds,
        "turn_s": turn_s,
        "total_s": time.monotonic() - begun,
        "load_before": load_before,
        "load": report.summary(found),
        "memory": report.growth(samples),
    }


async def take_turns(
    ways: dict[str, Way], processes: Processes, args: argparse.Namespace, turn_s: float
) -> tuple[dict[tuple[int, str], list[Turn]], list[dict[str, float]]]:
    """Turns by number of clients and way; the memory before the first round and after each."""
    found: dict[tuple[int, str], list[Turn]] = {
        (clients, name): [] for clients in args.clients for name in ways
    }
    samples = [processes.memory()]
    for number in range(args.rounds):
        for (clients, name), turns in found.items():
            # Each asks other questions: what one asked, a cache would know for the next.
            seed = f"{number}/{clients}/{name}"
            turns.append(await take_turn(ways[name], clients, turn_s, seed))
        await asyncio.sleep(SETTLE_S)
        samples.append(processes.memory())
    return found, samples


def start_engine(folder: Path, processes: Processes) -> int:
    """Start Qdrant, or what stands in for it; returns its port."""
    port = free_port()
    qdrant = shutil.which("qdrant")
    if qdrant is None:
        command = [sys.executable, HERE / "engine.py", str(port), folder / "engine"]
        processes.start("engine", command, port)
    else:
        processes.start(
            "Qdrant",
            [qdrant],
            port,
            QDRANT__SERVICE__HOST="127.0.0.1",
            QDRANT__SERVICE__HTTP_PORT=str(port),
            QDRANT__SERVICE__GRPC_PORT=str(free_port()),
            QDRANT__STORAGE__STORAGE_PATH=str(folder / "qdrant"),
            QDRANT__STORAGE__SNAPSHOTS_PATH=str(folder / "snapshots"),
            QDRANT__TELEMETRY_DISABLED="true",
        )
    return port


async def prepare(config: Path, engine: int, args: argparse.Namespace) -> Asked:
    """Import, index, mirror; returns what is asked for, and by which key."""
    settings = load(config)
    await migrate(settings.postgres.dsn)
    async with open_stack(settings, index=False) as stack:
        files = [
            (path, name)
            for path, name in find_files([args.documents])
            if path.suffix in {".py", ".md", ".rst", ".txt", ".html"}
            and "site-packages" not in path.parts
            and path.stat().st_size <= FILE_BYTES
        ]
        random.Random(1).shuffle(files)  # noqa: S311 - repeatable, not secret
        await import_files(
            stack.documents,
            LOCAL_OPERATOR,
            files[: args.files],
            collection=COLLECTION,
            project="load",
            max_bytes=FILE_BYTES,
            progress=lambda _: None,
        )
        await stack.indexer.drain()
        key = await stack.keys.create(name="load", scopes=["read"])
        words = await mirror(stack, engine)
    return Asked(words, key.key, COLLECTION, MIRROR)


async def mirror(stack: Stack, engine: int) -> list[list[str]]:
    """Put the same passages, with their texts, where the others ask; returns their words."""
    client = AsyncQdrantClient(url=f"http://127.0.0.1:{engine}", check_compatibility=False)
    await client.create_collection(
        MIRROR,
        vectors_config={
            f"fast-{MODEL}": models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
        },
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    rows = await stack.postgres.fetch(
        "select c.id::text, c.text, c.heading, d.path, d.title from chunks c"
        " join documents d on d.id = c.document_id order by d.path, c.ordinal",
        {},
    )
    for start in range(0, len(rows), 256):
        batch = rows[start : start + 256]
        points = []
        for row in batch:
            text = f"{row['title']}\n{row['heading']}\n{row['text']}"
            sparse = bm25.passage_vector(terms(text), avgdl=bm25.DEFAULT_AVGDL)
            vector = {
                f"fast-{MODEL}": embed(text),
                "bm25": models.SparseVector(indices=sparse.indices, values=sparse.values),
            }
            shown = {"path": row["path"], "title": row["title"], "heading": row["heading"]}
            payload = {"document": row["text"], "metadata": shown}
            points.append(models.PointStruct(id=row["id"], vector=vector, payload=payload))
        await client.upsert(MIRROR, points)
    await client.close()
    # Words that are searched for: without the stop words, of which no passage would be found.
    found = (re.findall(r"\b[A-Za-z_]{3,30}\b", row["text"]) for row in rows)
    asked = (sorted({word for word in words if word.lower() not in STOPWORDS}) for words in found)
    return [words for words in asked if len(words) >= 20]


if __name__ == "__main__":
    main()
