"""Reloads under load: kept and new connections, and not one request without an answer."""

import asyncio
import ssl

import pytest
from webserver import DOMAIN, NOW, Nginx, issue

from aistack.tls.deploy import Deployer
from aistack.tls.folder import Folder

pytestmark = pytest.mark.anyio

CONNECTIONS = 1000
CLIENTS = 100
RELOADS = 3
KEPT = 50
REQUEST = f"GET / HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n".encode()
"""The certificate is looked at by the deployer; here it is answers that count."""
CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE


class Client:
    """Counts its answers. What a new connection is asked must be answered.

    A server may close a kept connection between two requests; if that crosses with the next one,
    nobody has read it, and a client asks again on a new connection (RFC 9112, 9.3.1).
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers = self.opened = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> None:
        if self._streams is not None:
            try:
                return await self._ask(*self._streams)
            except asyncio.IncompleteReadError as exc:
                if exc.partial:
                    pytest.fail(f"an answer was cut off: {exc.partial!r}")
            except ConnectionError:
                pass
            self.close()
        self._streams = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=CONTEXT, server_hostname=DOMAIN
        )
        self.opened += 1
        return await self._ask(*self._streams)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        assert await reader.readexactly(4) == b"well"
        self.answers += 1
        if b"Connection: close" in head:
            self.close()

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def test_a_reload_drops_nothing(nginx: Nginx) -> None:
    folder = Folder(nginx.folder)
    settings = nginx.settings()
    deployer = Deployer(settings, folder)
    with folder.lock():
        await deployer.deploy(issue(), NOW)
    with nginx.running():
        clients = [Client(nginx.https) for _ in range(CLIENTS)]
        ended = asyncio.Event()

        async def work(client: Client, *, keeps: bool) -> None:
            while not ended.is_set():
                await client.ask()
                if not keeps:
                    client.close()
            client.close()

        tasks = [
            asyncio.create_task(work(client, keeps=number < KEPT))
            for number, client in enumerate(clients)
        ]
        reloads = 0
        while sum(client.opened for client in clients) < CONNECTIONS or reloads < RELOADS:
            with folder.lock():
                assert await deployer.deploy(issue(), NOW) == "deployed"
            reloads += 1
        ended.set()
        await asyncio.gather(*tasks)  # a lost answer would be an exception
    assert all(client.answers >= 10 for client in clients)
    assert min(client.opened for client in clients[:KEPT]) >= 1
