"""Who is counted: the holder of a key, or the address that a request came from."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from aistack.errors import ConfigError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOCAL = "127.0.0.1"
"""What a client on a unix socket counts as: it is on this host, as a loopback one is."""
UNKNOWN = "unknown"
_HOPS = 32
"""Most entries of X-Forwarded-For that are looked at, from the right."""
_NETWORK_BITS = 64
"""What one customer gets of IPv6 at least: by single addresses anyone would be a crowd."""


def of_key(key_id: str) -> str:
    """The identity of a key's holder."""
    return f"key:{key_id}"


def of_address(address: str) -> str:
    """The identity of whoever is behind an address; it cannot be mistaken for a key's."""
    return f"address:{address}"


class Proxies:
    """Finds a client's address behind trusted proxies.

    Args:
        trusted: networks whose X-Forwarded-For is believed.

    Raises:
        ConfigError: one of them is not a network.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        networks = [_network(text) for text in trusted]
        self._v4 = [n for n in networks if isinstance(n, ipaddress.IPv4Network)]
        self._v6 = [n for n in networks if isinstance(n, ipaddress.IPv6Network)]

    def client(self, peer: str | None, forwarded: Sequence[str]) -> str:
        """The address that counts: IPv4, or the /64 of IPv6.

        X-Forwarded-For is read from its right end, where our own proxy wrote, and only as far as
        each hop is a trusted one; whatever is left of that, anyone can have made up. An entry that
        is no address ends the walk at the hop that wrote it.

        Args:
            peer: the other end of the connection; None or empty for a unix socket.
            forwarded: the X-Forwarded-For headers in their order.
        """
        if not forwarded:
            return _of_peer(peer or LOCAL)
        hop = _parse(peer or LOCAL)
        if hop is None:
            return UNKNOWN
        ends = ",".join(header[-_HOPS * 64 :] for header in forwarded[-_HOPS:])
        entries = ends.rsplit(",", _HOPS)
        for entry in reversed(entries[-_HOPS:]):
            if not entry or not self._trusts(hop):
                break
            above = _parse_entry(entry.strip())
            if above is None:
                break
            hop = above
        return _counted(hop)

    def trusts(self, peer: str | None) -> bool:
        """Whether what this other end of a connection says in headers is believed."""
        address = _parse(peer or LOCAL)
        return address is not None and self._trusts(address)

    def _trusts(self, address: _Address) -> bool:
        if isinstance(address, ipaddress.IPv4Address):
            return any(address in network for network in self._v4)
        return any(address in network for network in self._v6)


def _network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as exc:
        raise ConfigError(f"rate_limits.trusted_proxies: {exc}") from exc


@lru_cache(maxsize=4096)
def _parse(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _parse_entry(entry: str) -> _Address | None:
    # Some proxies add the port: 192.0.2.1:8080, [2001:db8::1]:8080.
    if entry.startswith("["):
        inside, bracket, port = entry[1:].partition("]")
        well_formed = bool(bracket) and ":" in inside and (not port or _is_port(port))
        return _parse(inside) if well_formed else None
    if entry.count(":") == 1:
        entry, _, port = entry.partition(":")
        if not _is_port(":" + port):
            return None
    return _parse(entry) if len(entry) <= 64 else None


def _is_port(text: str) -> bool:
    digits = text[1:]
    return text.startswith(":") and len(digits) <= 5 and digits.isascii() and digits.isdecimal()


@lru_cache(maxsize=4096)
def _of_peer(peer: str) -> str:
    address = _parse(peer)
    return UNKNOWN if address is None else _counted(address)


def _counted(address: _Address) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    # The number and not the address: a scope (fe80::1%eth0) is the sender's own word.
    network = int(address) >> (128 - _NETWORK_BITS) << (128 - _NETWORK_BITS)
    return f"{ipaddress.IPv6Address(network)}/{_NETWORK_BITS}"
