"""A certificate with its chain, and its private key."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from aistack.errors import InvalidError

_PEM = serialization.Encoding.PEM
_DER = serialization.Encoding.DER
_SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


@dataclass(frozen=True)
class Pair:
    """What nginx needs to speak for a name."""

    chain: tuple[x509.Certificate, ...]
    """The host's own certificate first, then who issued it, and so on."""
    key: PrivateKeyTypes

    @property
    def leaf(self) -> x509.Certificate:
        """The host's own certificate."""
        return self.chain[0]

    @property
    def id(self) -> str:
        """The same for the same certificates, and for no others."""
        raw = b"".join(one.public_bytes(_DER) for one in self.chain)
        return hashlib.sha256(raw).hexdigest()[:32]

    @property
    def certificate_pem(self) -> bytes:
        """The chain as nginx reads it."""
        return b"".join(one.public_bytes(_PEM) for one in self.chain)

    @property
    def key_pem(self) -> bytes:
        """The key as nginx reads it, not encrypted."""
        plain = serialization.NoEncryption()
        return self.key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, plain)

    def matches(self) -> bool:
        """Whether the key is the certificate's."""
        certified = self.leaf.public_key().public_bytes(_DER, _SPKI)
        return certified == self.key.public_key().public_bytes(_DER, _SPKI)


def parse(certificate: str, key: str, where: str) -> Pair:
    """Read a pair from PEM.

    Args:
        certificate: the host's certificate, then its chain.
        key: its private key, not encrypted.
        where: where both come from, for the error.

    Raises:
        InvalidError: one of them is not what it should be. Holds nothing of the key.
    """
    try:
        chain: Sequence[x509.Certificate] = x509.load_pem_x509_certificates(certificate.encode())
    except ValueError as exc:
        raise InvalidError(f"{where}: this is no certificate in PEM") from exc
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError) as exc:  # TypeError: it is encrypted
        raise InvalidError(f"{where}: this is no unencrypted private key in PEM") from exc
    return Pair(tuple(chain), private)
