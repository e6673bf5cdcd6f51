"""Certificates, as they are served: what lies in a file is not what clients see."""

import asyncio
import ssl
from datetime import UTC, datetime

from cryptography import x509

from aistack.host.model import Finding

_TIMEOUT_S = 5
_WARNING = 1 / 4
"""The part of its lifetime that is left when a certificate should have been renewed."""
_CRITICAL = 1 / 10


async def look(address: str, now: datetime | None = None) -> Finding:
    """The certificate that a server shows for a name, as ``name:port`` or ``name@host:port``."""
    name, _, where = address.rpartition("@")
    host, _, port = where.rpartition(":")
    name = name or host
    # Who signed it is for clients to judge; here it is its time.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                host, int(port), ssl=context, server_hostname=name
            )
    except (OSError, TimeoutError, ssl.SSLError, ValueError) as exc:
        told = f"no TLS: {type(exc).__name__}"
        return Finding("certificate", address, "critical", told)
    raw = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return judge(address, x509.load_der_x509_certificate(raw), now or datetime.now(UTC))


def judge(address: str, certificate: x509.Certificate, now: datetime) -> Finding:
    """By the fraction of its lifetime: certificates of six days and of ninety are both common."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    left = (end - now) / (end - begin)
    told = f"ends {end:%F %H:%M} UTC, {100 * left:.0f} % of its time are left"
    if now < begin:
        return Finding("certificate", address, "critical", f"begins only {begin:%F %H:%M} UTC")
    if left < _CRITICAL:
        return Finding("certificate", address, "critical", told)
    return Finding("certificate", address, "warning" if left < _WARNING else "ok", told)
