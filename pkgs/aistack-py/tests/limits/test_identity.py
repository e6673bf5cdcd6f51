from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, strategies as st

from aistack.errors import ConfigError
from aistack.limits.identity import Proxies, of_address, of_key
from aistack.settings.schema import RateLimits

DEFAULT = Proxies(RateLimits().trusted_proxies)
TWO = Proxies(("127.0.0.0/8", "10.0.0.0/8", "2001:db8:aaaa::/48"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        # Not a proxy of ours: what it claims does not matter.
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        # Behind one proxy, and the client's own claims left of what the proxy wrote.
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["1.1.1.1, 127.0.0.1, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        # A chain of trusted ones.
        ("127.0.0.1", ["198.51.100.1, 10.0.0.7"], "198.51.100.1"),
        ("127.0.0.1", ["10.0.0.8, 10.0.0.7"], "10.0.0.8"),
        ("2001:db8:aaaa::1", ["198.51.100.1"], "198.51.100.1"),
        # Malformed: the last hop that is known.
        ("127.0.0.1", ["198.51.100.1, nonsense"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, nonsense, 10.0.0.7"], "10.0.0.7"),
        ("127.0.0.1", ["198.51.100.1,"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, 010.0.0.7"], "127.0.0.1"),
        ("127.0.0.1", ["unknown"], "127.0.0.1"),
        ("127.0.0.1", ["_hidden"], "127.0.0.1"),
        ("127.0.0.1", ["1" * 60_000], "127.0.0.1"),
        # With ports.
        ("127.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1:port"], "127.0.0.1"),
        ("127.0.0.1", ["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["[2001:db8:1:2:3::4]"], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["[2001:db8::1"], "127.0.0.1"),
        # IPv6 by its network, IPv4 in IPv6's clothes as IPv4.
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("::ffff:203.0.113.9", [], "203.0.113.9"),
        ("::ffff:127.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::1", [], "::/64"),
        # A unix socket has no address; its other end is on this host.
        (None, [], "127.0.0.1"),
        ("", ["198.51.100.1"], "198.51.100.1"),
        ("testclient", ["198.51.100.1"], "unknown"),
    ],
)
def test_the_address_that_counts(peer, forwarded, expected) -> None:
    assert TWO.client(peer, forwarded) == expected


def test_the_default_believes_this_host_alone() -> None:
    assert DEFAULT.client("10.0.0.7", ["198.51.100.1"]) == "10.0.0.7"
    assert DEFAULT.client("::1", ["198.51.100.1"]) == "198.51.100.1"


def test_trusting_nobody() -> None:
    assert Proxies(()).client("127.0.0.1", ["198.51.100.1"]) == "127.0.0.1"
    assert Proxies(()).client(None, ["198.51.100.1"]) == "127.0.0.1"


def test_a_network_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"rate_limits\.trusted_proxies.*10\.0\.0\.1/8"):
        Proxies(("10.0.0.1/8",))


addresses = st.one_of(st.ip_addresses(), st.sampled_from(["127.0.0.1", "10.1.2.3", "x", ""]))


@given(claims=st.lists(addresses, max_size=5), wrote=st.ip_addresses(v=4))
def test_no_claim_changes_what_the_proxy_wrote(claims, wrote) -> None:
    if any(wrote in ipaddress.ip_network(n) for n in ("127.0.0.0/8", "10.0.0.0/8")):
        return
    header = ", ".join(map(str, [*claims, wrote]))
    assert TWO.client("127.0.0.1", [header]) == str(wrote)


@given(peer=st.one_of(st.none(), st.text()), forwarded=st.lists(st.text(), max_size=3))
def test_nothing_breaks_it(peer, forwarded) -> None:
    assert TWO.client(peer, forwarded)


def test_an_address_is_no_key() -> None:
    assert of_key("203.0.113.9") != of_address("203.0.113.9")
