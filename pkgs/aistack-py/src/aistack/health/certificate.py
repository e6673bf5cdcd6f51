"""A certificate as it is served, and its lifetime: what lies in a file is not what clients see."""

import asyncio
import ssl
from contextlib import suppress
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509

from aistack.errors import UnavailableError
from aistack.health.model import Reading

_TIMEOUT_S = 5.0
# Not the default one: that reads all authorities of the system, which are not asked here.
_TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_TRUSTING.check_hostname, _TRUSTING.verify_mode = False, ssl.CERT_NONE
WARNING = 1 / 4
"""The part of its lifetime that is left when a certificate should have been renewed."""
FAILURE = 1 / 10


async def served(address: str, timeout_s: float = _TIMEOUT_S) -> x509.Certificate | None:
    """The certificate that a server shows; None: nobody listens there.

    Who signed it is for clients to judge.

    Args:
        address: ``name:port``, or ``name@host:port`` to ask a host for a name.
        timeout_s: seconds for all of it.

    Raises:
        UnavailableError: somebody listens, or might, and does not speak TLS.
    """
    name, host, port = split(address)
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(
                host, port, ssl=_TRUSTING, server_hostname=name
            )
    except ConnectionRefusedError:
        return None
    except (OSError, TimeoutError, ssl.SSLError, UnicodeError) as exc:  # of a name that is none
        raise UnavailableError(f"no TLS at {address}: {type(exc).__name__}") from exc
    raw = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()  # nothing was said that a goodbye would belong to
    try:
        return x509.load_der_x509_certificate(raw)
    except ValueError as exc:  # OpenSSL is more patient with what certificates may say
        raise UnavailableError(f"no certificate that can be read at {address}") from exc


def split(address: str) -> tuple[str, str, int]:
    """Name, host and port of an address; without a port it is 443."""
    name, _, where = address.rpartition("@")
    host, _, port = where.rpartition(":")
    if not port.isdecimal():
        host, port = where, "443"
    host = host.strip("[]")
    return name or host, host, int(port)


def share_left(certificate: x509.Certificate, now: datetime) -> float:
    """The part of its lifetime that is left; below 0 when it has ended."""
    end = certificate.not_valid_after_utc
    return (end - now) / lifetime(certificate)


def lifetime(certificate: x509.Certificate) -> timedelta:
    """All of its lifetime; never 0, which a malformed one could say."""
    span = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return max(span, timedelta(seconds=1))


def judge(certificate: x509.Certificate, now: datetime) -> Reading:
    """By the fraction of its lifetime: certificates of six days and of ninety are both common."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    left = share_left(certificate, now)
    percent = round(100 * left, 1)
    told = f"ends {end:%F %H:%M} UTC, {percent:.0f} % of its time are left"
    if now < begin:
        return Reading("fail", percent, "%", f"begins only {begin:%F %H:%M} UTC")
    if now >= end:
        return Reading("fail", percent, "%", f"has ended {end:%F %H:%M} UTC")
    if left < FAILURE:
        return Reading("fail", percent, "%", told)
    return Reading("warn" if left < WARNING else "pass", percent, "%", told)


def covers(certificate: x509.Certificate, name: str) -> bool:
    """Whether the certificate is of this DNS name or address; ``*`` stands for one label."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    with suppress(ValueError):
        return ip_address(name) in found.value.get_values_for_type(x509.IPAddress)
    _, _, parent = name.lower().partition(".")
    names = {one.lower() for one in found.value.get_values_for_type(x509.DNSName)}
    return name.lower() in names or (bool(parent) and f"*.{parent}" in names)
