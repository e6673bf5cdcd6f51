"""Holds many connections that never finish their request: HOST COUNT. Says when all are closed."""

import socket
import ssl
import sys
import time

host, count = sys.argv[1], int(sys.argv[2])
context = ssl._create_unverified_context()  # noqa: S323 - a test's own certificate
open_ones = []
for _ in range(count):
    connection = context.wrap_socket(socket.create_connection((host, 443)), server_hostname=host)
    connection.sendall(b"POST /v1/query HTTP/1.1\r\nHost: " + host.encode() + b"\r\n")
    open_ones.append(connection)
print(f"{len(open_ones)} open", flush=True)

start = time.monotonic()
while open_ones:
    still = []
    for connection in open_ones:
        try:
            connection.sendall(b"X-A: b\r\n")
            connection.settimeout(0.01)
            if connection.recv(1) == b"":
                continue
        except TimeoutError:
            pass
        except OSError:
            continue
        still.append(connection)
    open_ones = still
    time.sleep(1)
print(f"all closed after {time.monotonic() - start:.0f} s", flush=True)
