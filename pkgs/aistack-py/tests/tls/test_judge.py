"""What a certificate is judged by, and when it is renewed."""

from datetime import timedelta

import pytest
from hypothesis import given, strategies as st
from webserver import DOMAIN, NOW, issue

from aistack.errors import InvalidError
from aistack.health.certificate import covers, lifetime, share_left, split
from aistack.tls.judge import faults, judge, reason_to_renew, renewal_from
from aistack.tls.pair import Pair, parse

LIFETIMES = [timedelta(days=days) for days in (6, 45, 90, 3650)]
PAIRS = {span: issue(begin=NOW, end=NOW + span) for span in LIFETIMES}
PERIOD = timedelta(hours=24)
"""The timer comes twice a day; with its random delay, at least once in this time."""


def found(pair: Pair, *names: str, staging: bool = False) -> str:
    return faults(judge(pair, names or [DOMAIN], NOW, staging=staging))


def test_a_good_one_has_no_faults() -> None:
    assert found(issue()) == ""
    assert found(issue("a.test", "b.test"), "a.test", "b.test") == ""
    assert found(issue("*.test"), "a.test") == ""
    assert found(issue(end=NOW + timedelta(minutes=1))) == "", "it serves to its last moment"


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        (issue("other.test"), "names: is not of kb.test"),
        (issue("*.kb.test"), "names: is not of kb.test"),
        (Pair(issue().chain, issue().key), "key: is of another certificate"),
        (Pair((issue().leaf, issue().chain[1]), issue().key), "certificate 2 did not issue 1"),
        (issue(end=NOW), "has ended"),
        (issue(issuer_end=NOW), "a certificate of the chain is not valid"),
        (issue(begin=NOW + timedelta(hours=1)), "begins only"),
        (issue(issuer="(STAGING) Counterfeit Cashew R10"), "set tls.staging to take it"),
    ],
)
def test_faults_are_named(pair: Pair, says: str) -> None:
    assert says in found(pair)


def test_staging_is_taken_where_asked() -> None:
    assert found(issue(issuer="(STAGING) Pretend Pear X1"), staging=True) == ""


def test_what_is_no_pair_is_said_without_the_key() -> None:
    pair = issue()
    pem, key = pair.certificate_pem.decode(), pair.key_pem.decode()
    assert parse(pem, key, "x").chain == pair.chain
    assert parse(pem, key, "x").key_pem == pair.key_pem
    for certificate, private in ((key, key), (pem, pem), (pem, ""), ("", key), (pem, key[:60])):
        with pytest.raises(InvalidError) as caught:
            parse(certificate, private, "/run/x")
        assert caught.value.detail.startswith("/run/x: ")
        assert "BEGIN" not in caught.value.detail


def test_names_are_compared_as_clients_do() -> None:
    leaf = issue("Kb.Test", "*.wild.test", "10.0.0.1").leaf
    assert covers(leaf, "kb.test")
    assert covers(leaf, "a.wild.test")
    assert not covers(leaf, "wild.test")
    assert not covers(leaf, "a.b.wild.test")
    assert covers(leaf, "10.0.0.1")
    assert not covers(leaf, "10.0.0.2")


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("kb.test", ("kb.test", "kb.test", 443)),
        ("kb.test:8443", ("kb.test", "kb.test", 8443)),
        ("kb.test@127.0.0.1:8443", ("kb.test", "127.0.0.1", 8443)),
        ("kb.test@[::1]:8443", ("kb.test", "::1", 8443)),
        ("kb.test@10.0.0.1", ("kb.test", "10.0.0.1", 443)),
    ],
)
def test_addresses(address: str, parts: tuple[str, str, int]) -> None:
    assert split(address) == parts


def due(span: timedelta, at: timedelta, renew_at: float = 0.33) -> bool:
    why = reason_to_renew(PAIRS[span], [DOMAIN], NOW + at, renew_at=renew_at, staging=False)
    return why is not None


@given(st.sampled_from(LIFETIMES), st.floats(0, 1))
def test_never_in_the_first_half_always_in_the_last_third(span: timedelta, part: float) -> None:
    assert due(span, part * span) == (part * span >= renewal_from(PAIRS[span].leaf, 0.33) - NOW)
    if part < 0.5:
        assert not due(span, part * span)
    if part > 0.68:
        assert due(span, part * span)


@given(st.sampled_from(LIFETIMES), st.floats(0, 2), st.floats(0, 1))
def test_what_is_due_stays_due(span: timedelta, part: float, more: float) -> None:
    assert not due(span, part * span) or due(span, (part + more) * span)


@given(st.sampled_from(LIFETIMES), st.floats(0, 1), st.floats(0.1, 0.9))
def test_there_is_time_for_attempts_that_fail(
    span: timedelta, phase: float, renew_at: float
) -> None:
    """Whenever the timer comes first, it comes again before the certificate is critical."""
    first = renewal_from(PAIRS[span].leaf, 0.33) + phase * PERIOD
    assert share_left(PAIRS[span].leaf, first + PERIOD) > 1 / 10
    # Longer ones have days for it.
    if span > timedelta(days=10):
        assert share_left(PAIRS[span].leaf, first + 7 * PERIOD) > 1 / 10
        assert renewal_from(PAIRS[span].leaf, renew_at) == (
            PAIRS[span].leaf.not_valid_after_utc - renew_at * lifetime(PAIRS[span].leaf)
        )


def test_a_clock_that_is_late_asks_for_nothing() -> None:
    assert not due(timedelta(days=90), timedelta(days=-1))


def test_other_names_or_a_staging_one_are_renewed_at_once() -> None:
    for pair, names in ((issue(), ["new.test"]), (issue(issuer="Fake LE X1"), [DOMAIN])):
        assert reason_to_renew(pair, names, NOW, renew_at=0.33, staging=False)
    assert reason_to_renew(None, [DOMAIN], NOW, renew_at=0.33, staging=False) == "there is none"
