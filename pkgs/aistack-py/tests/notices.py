"""What a service tells systemd."""

import socket


def heard(systemd: socket.socket) -> bytes:
    """The next notice but those that come all the time."""
    while (notice := systemd.recv(1024)).startswith((b"STATUS=", b"WATCHDOG=")):
        pass
    return notice
