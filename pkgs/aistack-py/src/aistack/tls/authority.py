"""A certificate authority of this host's own, for clients that are told to trust it.

It may certify the host's names only (name constraints): who trusts it trusts it for nothing else.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aistack.errors import AistackError, UnavailableError
from aistack.health.certificate import share_left
from aistack.kit.disk import sync
from aistack.tls.folder import write
from aistack.tls.pair import Pair, parse

log = logging.getLogger(__name__)

_DAYS = 3650
_RENEW_AT = 1 / 10
"""Clients must be told of a new authority: as late as can be."""
_SKEW = timedelta(hours=1)
"""Clocks of clients may be late."""


class Authority:
    """The authority in a folder: its key in ``authority/``, its certificate in ``ca.pem``.

    Args:
        folder: an existing folder; ``authority`` below it is for its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / "authority"

    def issued(self, pair: Pair, names: Sequence[str], now: datetime) -> bool:
        """Whether a pair is by this authority, and the authority still good."""
        found = self._read()
        if found is None or not _good(found, names, now):
            return False
        return pair.chain[1:] == found.chain

    def issue(self, names: Sequence[str], now: datetime, days: int) -> Pair:
        """A new certificate of these names; makes the authority where there is none that can.

        Raises:
            UnavailableError: the authority cannot be written.
        """
        found = self._read()
        if found is None or not _good(found, names, now):
            log.warning("a new authority: clients must trust %s", self._folder / "ca.pem")
            found = _make(names, now)
        if not isinstance(found.key, ec.EllipticCurvePrivateKey):
            raise UnavailableError(f"{self._own} has a key that is not ours: move it away")
        self._keep(found)
        key = ec.generate_private_key(ec.SECP256R1())
        end = min(now + timedelta(days=days), found.leaf.not_valid_after_utc)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(found.key.public_key())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        leaf = (
            _builder(names[0], found.leaf.subject, key, now, end)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(usage, critical=False)
            .add_extension(issuer, critical=False)
            .sign(found.key, hashes.SHA256())
        )
        return Pair((leaf, *found.chain), key)

    def _read(self) -> Pair | None:
        try:
            text = (self._own / "authority.pem").read_text("ascii")
            return parse(text, text, str(self._own))
        except (OSError, UnicodeDecodeError, AistackError):
            return None

    def _keep(self, pair: Pair) -> None:
        """Key and certificate in one file: there is never one without the other."""
        try:
            self._own.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Clients come for it, whatever the umask.
            self._folder.chmod(0o755)
            _replace(self._own / "authority.pem", pair.key_pem + pair.certificate_pem, 0o600)
            _replace(self._folder / "ca.pem", pair.certificate_pem, 0o644)
        except OSError as exc:
            raise UnavailableError(f"cannot write {exc.filename}: {exc.strerror}") from exc


def _replace(path: Path, content: bytes, mode: int) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    new = path.with_name(f".{path.name}.new")
    write(new, content, mode)
    new.replace(path)
    sync(path.parent)


def _good(authority: Pair, names: Sequence[str], now: datetime) -> bool:
    certificate = authority.leaf
    try:
        limits = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return False
    permitted = {one.value for one in limits.permitted_subtrees or ()}
    return set(names) <= permitted and share_left(certificate, now) > _RENEW_AT


def _make(names: Sequence[str], now: datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    told = f"aistack on {names[0]}"[:64]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, told)])
    certificate = (
        _builder(told, subject, key, now, now + timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(
            x509.NameConstraints([x509.DNSName(name) for name in names], None), critical=True
        )
        .sign(key, hashes.SHA256())
    )
    return Pair((certificate,), key)


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
