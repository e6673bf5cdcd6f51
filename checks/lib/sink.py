"""Takes what the stack sends to others, and answers in the way that tells most.

    sink.py PORT LOG

Embeddings are made up after a first failure. Everything else is refused by an answer that repeats the
request, its address and its headers, as careless servers do: what is logged of answers must not tell
secrets either. Each request's first line and headers go to LOG.
"""

import hashlib
import json
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOG = Path(sys.argv[2])


class Server(ThreadingHTTPServer):
    """On IPv4 and IPv6."""

    address_family = socket.AF_INET6
    failed = False


class Handler(BaseHTTPRequestHandler):
    """Answers whatever is asked."""

    server: Server

    def do_POST(self) -> None:  # noqa: N802
        """Embeddings, or a refusal."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with LOG.open("a", encoding="utf-8") as log:
            log.write(f"{self.requestline}\n{self.headers}\n")
        if self.headers.get("User-Agent", "").startswith("Alertmanager/"):
            # It writes the answers that it gets into the journal, as they are.
            self.answer(500, b"")
        elif not self.path.endswith("/embeddings"):
            self.answer(500, f"{self.requestline}\n{self.headers}".encode())
        elif not self.server.failed:
            self.server.failed = True
            self.answer(500, f"{self.requestline}\n{self.headers}".encode())
        else:
            data = [
                {
                    "index": at,
                    "embedding": [
                        1 + byte / 256 for byte in hashlib.md5(text.encode()).digest()[:8]
                    ],
                }
                for at, text in enumerate(json.loads(body)["input"])
            ]
            self.answer(200, json.dumps({"data": data}).encode())

    do_GET = do_PUT = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Not into the journal."""

    def answer(self, status: int, body: bytes) -> None:
        """Send it."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


Server(("::", int(sys.argv[1])), Handler).serve_forever()
