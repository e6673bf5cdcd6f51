"""What can be told of a certificate: of this host's own, and of one that any server shows."""

import asyncio
import ssl
from datetime import datetime
from pathlib import Path

from cryptography import x509
from msgspec import Struct

from aistack.errors import UnavailableError
from aistack.health.certificate import judge, served, split
from aistack.settings.schema import Tls
from aistack.tls.judge import Verdict, judge_names, renewal_from
from aistack.tls.keeper import Keeper

_TIMEOUT_S = 5.0


class Report(Struct, frozen=True):
    """A certificate, and what there is to say about it."""

    subject: str
    """Where it is, as the one who asked calls it."""
    issuer: str | None
    begins: datetime | None
    ends: datetime | None
    renewed_from: datetime | None
    """When it is due; None: somebody else decides."""
    verdicts: list[Verdict]


async def of_host(settings: Tls, keeper: Keeper) -> Report:
    """The certificate that is deployed here, and whether it is the one that is served.

    Raises:
        AistackError: what is deployed cannot be read.
    """
    pair = keeper.folder.read("live")
    if pair is None:
        none = Verdict("served", "fail", "there is no certificate yet: aistack tls deploy")
        return Report(settings.folder, None, None, None, None, [none])
    verdicts = [v for v in keeper.verdicts(pair) if v.check != "time"]
    verdicts.append(_time(pair.leaf, keeper.now()))
    verdicts.append(await _is_served(settings, pair.leaf))
    due = renewal_from(pair.leaf, settings.renew_at)
    ours = settings.provider in ("selfSigned", "certbot")
    return _report(settings.folder, pair.leaf, due if ours else None, verdicts)


async def of_server(address: str, ca_file: Path | None, now: datetime) -> Report:
    """The certificate that a server shows, as a client of it sees it.

    Args:
        address: ``name``, ``name:port`` or ``name@host:port``.
        ca_file: authorities to trust in place of the system's.
        now: the time; trust is judged by the system's own clock.

    Raises:
        UnavailableError: there is no TLS there.
    """
    leaf = await served(address)
    if leaf is None:
        raise UnavailableError(f"nobody listens at {address}")
    names = judge_names(leaf, [split(address)[0]])
    verdicts = [names, _time(leaf, now), await _trust(address, ca_file)]
    return _report(address, leaf, None, verdicts)


async def _is_served(settings: Tls, leaf: x509.Certificate) -> Verdict:
    where = f"{settings.names[0]}@{settings.served_at}"
    try:
        found = await served(where)
    except UnavailableError as exc:
        return Verdict("served", "fail", exc.detail)
    if found is None:
        return Verdict("served", "fail", f"nobody listens at {settings.served_at}")
    if found != leaf:
        return Verdict("served", "fail", f"another one is served at {settings.served_at}")
    return Verdict("served", "pass", f"at {settings.served_at}")


async def _trust(address: str, ca_file: Path | None) -> Verdict:
    name, host, port = split(address)
    context = ssl.create_default_context(cafile=ca_file)
    context.check_hostname = False  # a verdict of its own
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
    except ssl.SSLCertVerificationError as exc:
        return Verdict("trust", "fail", exc.verify_message)
    except (OSError, TimeoutError) as exc:
        raise UnavailableError(f"no TLS at {address}: {type(exc).__name__}") from exc
    version = writer.get_extra_info("ssl_object").version()
    writer.transport.abort()
    whom = f"authorities of {ca_file}" if ca_file is not None else "system's authorities"
    return Verdict("trust", "pass", f"by the {whom}, {version}")


def _time(leaf: x509.Certificate, now: datetime) -> Verdict:
    reading = judge(leaf, now)
    return Verdict("time", reading.status, reading.output or "")


def _report(
    subject: str, leaf: x509.Certificate, due: datetime | None, verdicts: list[Verdict]
) -> Report:
    return Report(
        subject,
        leaf.issuer.rfc4514_string(),
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
        due,
        verdicts,
    )
