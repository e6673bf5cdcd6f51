"""Takes what Alertmanager posts to a webhook, and keeps each body as a line: PORT FILE."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Pager(BaseHTTPRequestHandler):
    """Somebody who is told."""

    def do_POST(self) -> None:
        """Keep what is told."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[2], "ab") as file:
            file.write(self.path.encode() + b" " + body.replace(b"\n", b" ") + b"\n")
        self.send_response(200)
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1])), Pager).serve_forever()
