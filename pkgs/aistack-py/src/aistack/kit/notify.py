"""systemd's notification protocol (sd_notify(3)): one datagram to $NOTIFY_SOCKET."""

import os
import socket


def notify(state: str) -> None:
    """Send e.g. ``READY=1``; does nothing where no service manager listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(state.encode(), address)


def watchdog_period() -> float | None:
    """The time within which the service manager wants to hear of us; None: it does not."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdigit() and int(microseconds) else None
