"""What becomes one issue, on messages as services, kernels and build tools write them."""

import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from aistack.issues.classify import category
from aistack.issues.fingerprint import fingerprint
from aistack.issues.model import Event, Frame
from aistack.issues.parameterize import parameterize

CORPUS = tomllib.loads((Path(__file__).parents[1] / "corpus/log_messages.toml").read_text())[
    "group"
]
GOAL = 0.98


def event(message: str, **more: object) -> Event:
    return Event(message=message, source="command", **more)  # type: ignore[arg-type]


def pairs(number: int) -> int:
    return number * (number - 1) // 2


def test_precision_and_recall_on_real_looking_messages(
    record_property: Callable[[str, object], None],
) -> None:
    found: Counter[tuple[int, bytes]] = Counter()
    for group, one in enumerate(CORPUS):
        for message in one["messages"]:
            found[group, fingerprint(event(message)).digest] += 1
    assert len(CORPUS) >= 60
    assert sum(found.values()) >= 300
    wanted, made = Counter[int](), Counter[bytes]()
    for (group, digest), number in found.items():
        wanted[group] += number
        made[digest] += number
    right = sum(pairs(number) for number in found.values())
    precision = right / sum(map(pairs, made.values()))
    recall = right / sum(map(pairs, wanted.values()))
    record_property("precision", precision)
    record_property("recall", recall)
    split = [g for g in wanted if sum(1 for key in found if key[0] == g) > 1]
    told = [sorted({parameterize(m) for m in CORPUS[g]["messages"]}) for g in split]
    assert precision >= GOAL
    assert recall >= GOAL, told


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("connect to 10.0.0.7:5432 failed", "connect to <ip> failed"),
        ("mail to ann@example.org at 2026-01-08T10:00:00Z", "mail to <email> at <date>"),
        ("GET https://u:p@h.test/x?y=1 took 12.5ms", "GET <url> took <value>"),
        ("in /nix/store/0c1d2f3g-x/bin/y: line 7", "in <store>: line <value>"),
        ("id 9b2c41d8-77aa-4c7e-8f5b-66b7c1d6c111 0x1f", "id <uuid> <value>"),
        ('user alice has no "x y"', "user <name> has no <quoted>"),
        ("user is not allowed", "user is not allowed"),
        ("it isn't there, it won't be", "it isn't there, it won't be"),
        ("2 of 3 workers", "<value> of <value> workers"),
        ("first line\nsecond line", "first line"),
        ("\n\n first line with words\nsecond line", "first line with words"),
        ("  spaced \t out  ", "spaced out"),
        ("", ""),
    ],
)
def test_placeholders(message: str, told: str) -> None:
    assert parameterize(message) == told


def test_frames_of_our_own_go_before_the_message() -> None:
    ours = Frame("aistack.api", "get")
    theirs = Frame("psycopg", "execute", in_app=False)
    one = event("lost 1", kind="E", frames=(ours, theirs))
    assert fingerprint(one) == fingerprint(event("other words", kind="E", frames=(ours,)))
    assert fingerprint(one) != fingerprint(event("lost 1", kind="F", frames=(ours, theirs)))
    assert fingerprint(one) != fingerprint(
        event("lost 1", kind="E", frames=(Frame("aistack.api", "put"), theirs))
    )
    only_theirs = event("lost 1", kind="E", frames=(theirs,))
    assert fingerprint(only_theirs) == fingerprint(event("lost 2", kind="E"))


def test_the_reporters_own_fingerprint_goes_before_all() -> None:
    one = event("a", fingerprint="mine", kind="E")
    assert fingerprint(one) == fingerprint(event("b", fingerprint="mine", kind="F"))
    assert fingerprint(one) != fingerprint(event("a", fingerprint="theirs", kind="E"))
    assert fingerprint(one) != fingerprint(event("mine"))


def test_the_first_version_is_what_it_was() -> None:
    # If this fails, every issue of every host would be grouped anew: make a new version instead.
    stored = {
        "message": event("connect to 10.0.0.7:5432 failed after 3 s", component="aidb"),
        "stack": event("x", kind="E", frames=(Frame("aistack.a", "f"), Frame("aistack.b", "g"))),
        "custom": event("x", fingerprint="mine"),
    }
    assert {name: fingerprint(one, 1).digest.hex() for name, one in stored.items()} == {
        "message": "264e1a1f03809a8585f6434b8fba1260",
        "stack": "bbcc22b65cb62ab4ad793d2c84ad9f51",
        "custom": "ce9ad77b9d3c242f6827ae8cbb3c1d05",
    }


def test_what_is_no_unicode_has_a_fingerprint() -> None:
    """Half of a surrogate pair, as JSON may have it: the event is told all the same."""
    assert fingerprint(event("lost \ud800")) != fingerprint(event("lost"))


def test_an_exported_fingerprint_is_itself() -> None:
    one = fingerprint(event("x"))
    written = f"{one.version}:{one.digest.hex()}"
    assert fingerprint(event("y", fingerprint=written)) == one


@pytest.mark.parametrize(
    ("kind", "message", "told"),
    [
        ("OperationalError", "connection refused", "reliability"),
        ("message", "permission denied for table x", "security"),
        ("message", "deadline exceeded", "performance"),
        ("message", "checksum mismatch", "data_integrity"),
        ("alert", "HostDown", "monitoring"),
        ("message", "hello", "other"),
    ],
)
def test_categories(kind: str, message: str, told: str) -> None:
    assert category(kind, message) == told
