"""Imports a documentation tree and measures rate, memory and recall@5.

    bash benchmarks/corpus/fetch.sh FOLDER
    python benchmarks/recall.py FOLDER [--package git-doc ...]

Lexical only; with an embedding endpoint, lexical, dense and hybrid side by side on one index
(`embedding_server.py` is such an endpoint; it embeds some 20 passages a second on two cores):

    python benchmarks/recall.py FOLDER --package git-doc --embeddings http://127.0.0.1:8089/v1

Needs the package with its extra `embedded`. With QDRANT_URL set, the index is that server's,
else qdrant-client's local mode, which compares with every passage: its latency says nothing.
"""

import argparse
import asyncio
import os
import resource
import secrets
import tempfile
import time
import tomllib
from collections import defaultdict
from pathlib import Path

from aistack.access.model import LOCAL_OPERATOR
from aistack.embedded.postgres import EmbeddedPostgres
from aistack.knowledge.intake import find_files, import_files
from aistack.knowledge.model import Mode, Query
from aistack.migrations.runner import migrate
from aistack.settings.schema import Embeddings, Limits, Postgres, Qdrant, Settings
from aistack.wiring import Stack, open_stack

COLLECTION = "nixos_docs"
DOCUMENT_BYTES = 8 * 1024 * 1024
"""Some generated pages of the corpus are larger than the default bound."""


async def measure(settings: Settings, root: Path, packages: list[str]) -> None:
    """Import, ask every question whose answer is in the imported packages, print a table."""
    await migrate(settings.postgres.dsn)
    async with open_stack(settings, index=False) as stack:
        files = [f for f in find_files([root]) if f[1].split("/")[0] in packages]
        size = sum(path.stat().st_size for path, _ in files)
        start = time.perf_counter()
        results = await import_files(
            stack.documents,
            LOCAL_OPERATOR,
            files,
            collection=COLLECTION,
            project="corpus",
            max_bytes=DOCUMENT_BYTES,
            progress=lambda _: None,
        )
        stored = time.perf_counter() - start
        await stack.indexer.drain()
        indexed = time.perf_counter() - start
        taken = sum(r.outcome == "created" for r in results)
        chunks = (await stack.collections.get(LOCAL_OPERATOR, COLLECTION)).chunks
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{taken} of {len(files)} files ({size / 1e6:.1f} MB), {chunks} passages")
        print(f"stored {taken / stored:.1f} files/s, with index {taken / indexed:.1f} files/s")
        print(f"peak memory {peak:.0f} MB")
        modes: tuple[Mode, ...] = ("lexical",)
        if settings.embeddings.endpoint:
            print(f"embedded {chunks / (indexed - stored):.1f} passages/s, index writes included")
            modes = ("lexical", "dense", "hybrid")
        await ask(stack, packages, modes)


async def ask(stack: Stack, packages: list[str], modes: tuple[Mode, ...]) -> None:
    """Recall@5 by kind of question and mode; names each question that misses."""
    text = Path(__file__).with_name("corpus").joinpath("questions.toml").read_text("utf-8")
    every = tomllib.loads(text)["question"]
    found: dict[str, dict[Mode, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for question in every:
        expected = {e for e in question["expected"] if e.split("/")[0] in packages}
        if not expected:
            continue
        for mode in modes:
            query = Query(query=question["text"], collection=COLLECTION, limit=50, mode=mode)
            page = await stack.search.search(LOCAL_OPERATOR, query)
            first = list(dict.fromkeys(hit.path for hit in page.hits))[:5]
            hit = bool(expected & set(first))
            for kind in (question["kind"], "all"):
                found[kind][mode].append(hit)
            if not hit:
                print(f"missed by {mode}: {question['text']} (first: {first[:1]})")
    kinds = [*sorted(found.keys() - {"all"}), *(found.keys() & {"all"})]
    print(f"{len(found['all'][modes[0]])} of {len(every)} questions are on {', '.join(packages)}")
    print(f"| kind | questions | {' | '.join(modes)} |\n|---|--:|{'--:|' * len(modes)}")
    for kind in kinds:
        hits = found[kind]
        shares = " | ".join(f"{sum(hits[m]) / len(hits[m]):.2f}" for m in modes)
        print(f"| {kind} | {len(hits[modes[0]])} | {shares} |")


def main() -> None:
    """Parse the command line and run on servers of our own in a temporary folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--package", action="append", help="only these [default: all]")
    parser.add_argument("--embeddings", metavar="URL", help="endpoint, ends in /v1")
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--dimension", type=int, default=384)
    args = parser.parse_args()
    packages = args.package or [p.name for p in args.folder.iterdir() if p.is_dir()]
    with tempfile.TemporaryDirectory(prefix="aistack-recall-") as folder:
        url = os.environ.get("QDRANT_URL")
        prefix = f"recall-{secrets.token_hex(4)}"
        qdrant = Qdrant(url=url, path=None if url else f"{folder}/qdrant", prefix=prefix)
        Path(folder).chmod(0o755)
        with EmbeddedPostgres(Path(folder) / "postgresql") as dsn:
            settings = Settings(
                postgres=Postgres(dsn=dsn),
                qdrant=qdrant,
                limits=Limits(document_bytes=DOCUMENT_BYTES),
                embeddings=Embeddings(
                    endpoint=args.embeddings, model=args.model, dimension=args.dimension
                ),
            )
            asyncio.run(measure(settings, args.folder, packages))


if __name__ == "__main__":
    main()
