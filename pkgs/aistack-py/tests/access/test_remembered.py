"""What is remembered of keys is bounded, and never older than what was learned since."""

import pytest

from aistack.access import remembered
from aistack.access.model import Principal
from aistack.access.remembered import Remembered

WATCHER = Principal("1", "prometheus", frozenset({"metrics"}))


def test_a_secret_is_known_by_its_own_id_only() -> None:
    keys = Remembered()
    keys.put(b"1", WATCHER, None)
    assert keys.get(b"1", "1")
    assert keys.get(b"1", "2") is None


def test_more_than_so_many_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_MOST", 3)
    keys = Remembered()
    for number in range(10):
        keys.put(bytes([number]), WATCHER, None)
    assert len(keys._keys) <= 3


def test_an_answer_does_not_bring_back_what_was_found_wrong_meanwhile() -> None:
    keys = Remembered()
    keys.put(b"1", WATCHER, 0)
    asked = keys.stale_watchers()
    assert list(asked) == [b"1"]
    keys.drop(b"1")
    keys.keep(asked, {"1": None})
    assert keys.get(b"1", "1") is None


def test_an_answer_does_not_take_away_what_was_found_right_meanwhile() -> None:
    keys = Remembered()
    keys.put(b"1", WATCHER, 0)
    asked = keys.stale_watchers()
    keys.put(b"1", WATCHER, None)
    keys.keep(asked, {})
    known = keys.get(b"1", "1")
    assert known
    assert known.fresh
