"""What is wrong with a certificate, and when it is renewed. Pure: the clock is an argument."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from msgspec import Struct

from aistack.health.certificate import covers, judge as judge_time, lifetime
from aistack.health.model import Status
from aistack.tls.pair import Pair

_SHORT = timedelta(days=10)
_SHORT_SHARE = 1 / 2
"""A short-lived one is renewed at half of its lifetime, as certbot and lego do it."""
_STAGING = ("(STAGING)", "Fake LE ")


class Verdict(Struct, frozen=True):
    """One side of a certificate."""

    check: Literal["chain", "key", "names", "time", "staging", "trust", "served"]
    status: Status
    told: str


def judge(pair: Pair, names: Sequence[str], now: datetime, *, staging: bool) -> list[Verdict]:
    """Everything that can be told of a pair without a server.

    Args:
        pair: the certificate with its chain and key.
        names: DNS names that it has to be of.
        now: the time.
        staging: whether one of a CA's staging environment, which no client trusts, will do.
    """
    return [
        _chain(pair.chain),
        Verdict("key", "pass", "is the certificate's") if pair.matches()
        else Verdict("key", "fail", "is of another certificate"),
        judge_names(pair.leaf, names),
        _time(pair.chain, now),
        _staging(pair.chain, asked=staging),
    ]  # fmt: skip


def judge_names(leaf: x509.Certificate, names: Iterable[str]) -> Verdict:
    """Whether a certificate is of all these names."""
    missing = [name for name in names if not covers(leaf, name)]
    if missing:
        return Verdict("names", "fail", f"is not of {', '.join(missing)}")
    return Verdict("names", "pass", f"is of {', '.join(names)}")


def faults(verdicts: Iterable[Verdict]) -> str:
    """What speaks against serving it, in one line; empty: nothing."""
    return "; ".join(f"{v.check}: {v.told}" for v in verdicts if v.status == "fail")


def renewal_from(certificate: x509.Certificate, renew_at: float) -> datetime:
    """The moment from which a certificate is to be renewed.

    Args:
        certificate: the host's own.
        renew_at: the part of the lifetime that is left then.
    """
    span = lifetime(certificate)
    share = max(renew_at, _SHORT_SHARE) if span < _SHORT else renew_at
    return certificate.not_valid_after_utc - share * span


def reason_to_renew(
    pair: Pair | None, names: Sequence[str], now: datetime, *, renew_at: float, staging: bool
) -> str | None:
    """Why a new certificate is needed; None: it is not."""
    if pair is None:
        return "there is none"
    # Not its time: one that begins only tomorrow is a clock's fault, and another begins no sooner.
    verdicts = judge(pair, names, now, staging=staging)
    if found := faults(v for v in verdicts if v.check != "time"):
        return found
    since = renewal_from(pair.leaf, renew_at)
    return f"due since {since:%F %H:%M} UTC" if now >= since else None


def _chain(chain: Sequence[x509.Certificate]) -> Verdict:
    for number, (one, issuer) in enumerate(pairwise(chain), 1):
        try:
            one.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            return Verdict("chain", "fail", f"certificate {number + 1} did not issue {number}")
    return Verdict("chain", "pass", f"{len(chain)} certificates, each issued by the next")


def _time(chain: Sequence[x509.Certificate], now: datetime) -> Verdict:
    for issuer in chain[1:]:
        if not issuer.not_valid_before_utc <= now < issuer.not_valid_after_utc:
            end = f"{issuer.not_valid_after_utc:%F %H:%M}"
            return Verdict(
                "time", "fail", f"a certificate of the chain is not valid (to {end} UTC)"
            )
    reading = judge_time(chain[0], now)
    # One that ends soon still serves; a failure is said of what is served, by `aistack health`.
    valid = chain[0].not_valid_before_utc <= now < chain[0].not_valid_after_utc
    status = "warn" if valid and reading.status == "fail" else reading.status
    return Verdict("time", status, reading.output or "")


def _staging(chain: Sequence[x509.Certificate], *, asked: bool) -> Verdict:
    names = [one.issuer.rfc4514_string() for one in chain]
    found = next((name for name in names if any(mark in name for mark in _STAGING)), None)
    if found is None:
        return Verdict("staging", "pass", "of no staging environment")
    if asked:
        return Verdict("staging", "warn", f"of a staging environment ({found}), as asked")
    return Verdict(
        "staging", "fail", f"of a staging environment ({found}): set tls.staging to take it"
    )
