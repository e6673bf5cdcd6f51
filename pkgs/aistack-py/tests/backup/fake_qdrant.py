"""What Qdrant's REST interface does with collections and snapshots, for tests: points are ids."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeQdrant:
    """The state of a server, and the faults that a test asks for."""

    def __init__(self) -> None:
        self.version = "1.19.2"
        self.collections: dict[str, list[str]] = {}
        self.snapshots: dict[str, dict[str, bytes]] = {}
        self.damage = False
        """What is fetched is not what was made."""
        self.vanish: str | None = None
        """A collection that goes while its snapshot is made."""
        self.url = ""
        self._made = 0

    def answer(self, method: str, path: str, body: Any) -> Any:
        """The result of a request; raises `LookupError` for what is not there."""
        lists = {"collections": [{"name": name} for name in self.collections], "aliases": []}
        if path[1:] in lists:
            return {path[1:]: lists[path[1:]]}
        found = re.fullmatch(r"/collections/([^/]+)(/.*)?", path)
        assert found, path
        name, rest = found[1], found[2] or ""
        points = self.collections[name]
        match method, rest:
            case "GET", "":
                return {"config": {"params": {"of": name}}, "payload_schema": {}, "status": "green"}
            case "DELETE", "":
                del self.collections[name]
                return True
            case "POST", "/points/count":
                return {"count": len(points)}
            case "POST", "/points/scroll":
                return {"points": [{"id": one} for one in points[: body["limit"]]]}
            case "POST", "/points/query":
                near = sorted(points, key=lambda one: (one != body["query"], one))
                return {"points": [{"id": one, "score": 1.0} for one in near[: body["limit"]]]}
            case "GET", "/snapshots":
                return [{"name": one} for one in self.snapshots.get(name, {})]
            case "POST", "/snapshots":
                return self._snapshot(name, points)
            case "DELETE", _:
                del self.snapshots[name][rest.rsplit("/", 1)[1]]
                return True
        raise AssertionError((method, path))

    def fetch(self, name: str, snapshot: str) -> bytes:
        """A snapshot's bytes."""
        content = self.snapshots[name][snapshot]
        return content[:-1] + b"?" if self.damage else content

    def upload(self, name: str, content: bytes) -> None:
        """Take a snapshot in."""
        start = content.index(b"\r\n\r\n") + 4
        self.collections[name] = json.loads(content[start : content.rindex(b"]") + 1])

    def _snapshot(self, name: str, points: list[str]) -> dict[str, str]:
        if name == self.vanish:
            del self.collections[name]
            raise LookupError(name)
        self._made += 1
        content = json.dumps(points).encode()
        self.snapshots.setdefault(name, {})[f"s{self._made}.snapshot"] = content
        checksum = hashlib.sha256(content).hexdigest()
        return {"name": f"s{self._made}.snapshot", "checksum": checksum}


def _handler(state: FakeQdrant) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            path = self.path.split("?")[0]
            parts = path.split("/")
            try:
                if path == "/":
                    self._send(200, json.dumps({"version": state.version}).encode())
                elif path.endswith("/snapshots/upload"):
                    state.upload(parts[2], raw)
                    self._send(200, b'{"result": true}')
                elif self.command == "GET" and path.endswith(".snapshot"):
                    self._send(200, state.fetch(parts[2], parts[-1]))
                else:
                    body = json.loads(raw) if raw else None
                    found = state.answer(self.command, path, body)
                    self._send(200, json.dumps({"result": found}).encode())
            except LookupError:
                self._send(404, b"{}")

        do_GET = do_POST = do_DELETE = _handle  # noqa: N815

    return Handler


@contextmanager
def serving() -> Iterator[FakeQdrant]:
    """A server on a free port until the block ends."""
    state = FakeQdrant()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
