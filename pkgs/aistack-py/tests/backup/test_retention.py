"""The planner: what must hold of any list of backups."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st
from series import at, kept

from aistack.backup.retention import Backup, Decision, Policy, archive_window, drops, plan

NOW = at("2026-11-23T12:00")
POLICIES = st.builds(
    Policy, *(st.integers(0, 8) for _ in range(3)), st.sampled_from([0, 0, 1, 7, 40])
)
FORMATS = ("%Y-%m-%d", "%G-W%V", "%Y-%m")


@st.composite
def lists_of_backups(draw: st.DrawFn) -> list[Backup]:
    """Dense, sparse or both; chains, also against the order of time; faults, pins, the future.

    Of one cluster, or of several that took each other's place, some of them to and fro.
    """
    clusters = draw(st.sampled_from([[""], [""], ["17-1", "18-2"], ["a", "b", "c"]]))
    spread = draw(st.sampled_from([24 * 3, 24 * 40, 24 * 600]))
    found: list[Backup] = []
    for number in range(draw(st.integers(0, 40))):
        needs = draw(st.sampled_from([None, None, "gone", *(b.id for b in found[-4:])]))
        found.append(
            Backup(
                f"b{number:02}",
                NOW - timedelta(hours=draw(st.integers(-30, spread))),
                needs,
                good=draw(st.integers(0, 5)) > 0,
                pinned=draw(st.integers(0, 15)) == 0,
                cluster=draw(st.sampled_from(clusters)),
            )
        )
    return draw(st.permutations(found))


def sound(backups: Iterable[Backup]) -> list[Backup]:
    """Good with all that they need."""
    by_id = {b.id: b for b in backups}

    def holds(b: Backup) -> bool:
        return b.good and (b.needs is None or (b.needs in by_id and holds(by_id[b.needs])))

    return [b for b in by_id.values() if holds(b)]


def newest_of(backups: Iterable[Backup]) -> str:
    return max((b.taken_at, b.id) for b in backups)[1]


def clusters_of(backups: Iterable[Backup]) -> set[str]:
    return {b.cluster for b in backups}


def model(backups: list[Backup], policy: Policy) -> set[str]:
    """What stays, said again in the plainest way."""
    by_id = {b.id: b for b in backups}
    good = [b for b in sound(backups) if b.taken_at <= NOW]
    newest = max((b.taken_at, b.id) for b in good) if good else (at("1970-01-01"), "")
    stay = {b.id for b in backups if b.pinned or (b.taken_at, b.id) >= newest}
    for count, form in zip((policy.daily, policy.weekly, policy.monthly), FORMATS, strict=True):
        for bucket in sorted({format(b.taken_at, form) for b in good}, reverse=True)[:count]:
            here = [b for b in good if format(b.taken_at, form) == bucket]
            stay |= {newest_of(b for b in here if b.cluster == c) for c in clusters_of(here)}
    if policy.any_second_days:
        start = NOW - timedelta(days=policy.any_second_days)
        if before := [b for b in good if b.taken_at <= start]:
            stay.add(newest_of(before))
        since = [b for b in good if b.taken_at > start]
        for cluster in clusters_of(since):
            stay.add(min((b.taken_at, b.id) for b in since if b.cluster == cluster)[1])
    while more := {by_id[id_].needs for id_ in stay} & by_id.keys() - stay:
        stay |= more
    return stay


@given(lists_of_backups(), POLICIES)
@settings(max_examples=400, deadline=None)
def test_it_is_what_the_rules_say(backups, policy) -> None:
    decisions = plan(backups, policy, NOW)
    assert set(kept(decisions)) == model(backups, policy)
    # Nothing is forgotten, and the newest come first.
    order = [(d.backup.taken_at, d.backup.id) for d in decisions]
    assert order == sorted(((b.taken_at, b.id) for b in backups), reverse=True)
    assert all(decision.reasons for decision in decisions)


@given(lists_of_backups(), POLICIES)
@settings(deadline=None)
def test_the_newest_good_one_stays_and_nothing_goes_without_one(backups, policy) -> None:
    good = [b for b in sound(backups) if b.taken_at <= NOW]
    stay = kept(plan(backups, policy, NOW))
    if good:
        assert max(good, key=lambda b: (b.taken_at, b.id)).id in stay
    else:
        assert len(stay) == len(backups)


@given(lists_of_backups(), POLICIES)
@settings(deadline=None)
def test_chains_stay_whole_at_every_step(backups, policy) -> None:
    here = {b.id: b for b in backups}
    decisions = plan(backups, policy, NOW)
    order = drops(decisions)
    assert sorted(order) == sorted(here.keys() - set(kept(decisions)))
    missing_before = {b.id for b in backups if b.needs not in here}
    for id_ in order:
        del here[id_]
        assert {b.id for b in here.values() if b.needs not in here} <= missing_before


@given(lists_of_backups(), POLICIES)
@settings(deadline=None)
def test_planning_again_drops_nothing(backups, policy) -> None:
    first = plan(backups, policy, NOW)
    again = plan([d.backup for d in first if d.keep], policy, NOW)
    assert drops(again) == []


@given(lists_of_backups(), POLICIES, POLICIES)
@settings(deadline=None)
def test_a_larger_policy_drops_nothing_more(backups, policy, more) -> None:
    larger = Policy(
        policy.daily + more.daily,
        policy.weekly + more.weekly,
        policy.monthly + more.monthly,
        policy.any_second_days,
    )
    assert set(kept(plan(backups, policy, NOW))) <= set(kept(plan(backups, larger, NOW)))


@given(lists_of_backups(), POLICIES)
@settings(deadline=None)
def test_the_rules_keep_no_more_than_their_slots(backups, policy) -> None:
    decisions = plan(backups, policy, NOW)
    said = [(reason, d.backup.cluster) for d in decisions for reason in d.reasons if d.keep]
    for word, slots in (
        ("daily", policy.daily),
        ("weekly", policy.weekly),
        ("monthly", policy.monthly),
        ("newest", 1),
    ):
        labels = [(reason, cluster) for reason, cluster in said if reason.startswith(word)]
        assert len({reason for reason, _ in labels}) <= slots
        assert len(set(labels)) == len(labels), "of each cluster one"


@given(lists_of_backups(), POLICIES, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_the_list_does_not_matter(backups, policy, chance) -> None:
    decisions = plan(backups, policy, NOW)
    chance.shuffle(backups)
    assert plan(backups, policy, NOW) == decisions


@given(lists_of_backups(), POLICIES)
@settings(deadline=None)
def test_the_future_changes_nothing_of_the_past(backups, policy) -> None:
    decisions = plan(backups, policy, NOW)
    future = {b.id for b in backups if b.taken_at > NOW}
    assert future <= set(kept(decisions))
    needed = {b.needs for b in backups if b.id in future} | {
        b.id for b in backups if b.needs in future
    }
    if not needed & {b.id for b in backups}:
        alone = plan([b for b in backups if b.id not in future], policy, NOW)
        assert [d for d in decisions if d.backup.id not in future] == alone


@given(lists_of_backups(), POLICIES, st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_the_window_reaches_back_as_far_as_it_must_and_no_further(backups, policy, days) -> None:
    decisions = plan(backups, policy, NOW)
    stay = [d.backup for d in decisions if d.keep]
    good = {b.id for b in sound(stay)}
    old = [b.taken_at <= NOW - timedelta(days=days) and b.id in good for b in stay]
    count = archive_window(decisions, NOW, days)
    if any(old):
        assert old[count - 1]
        assert not any(old[: count - 1])
    else:
        assert count == max(1, len(stay))


@given(lists_of_backups(), POLICIES, st.integers(1, 40))
@settings(max_examples=400, deadline=None)
def test_every_second_of_the_window_that_was_to_be_had_still_is(backups, policy, days) -> None:
    """Whatever the slots, and of every cluster: from a backup that stays, with all WAL since."""
    good = [b for b in sound(backups) if b.taken_at <= NOW]
    decisions = plan(backups, replace(policy, any_second_days=days), NOW)
    stay = [d.backup for d in decisions if d.keep]
    leads_on = {b.id for b in stay[: archive_window(decisions, NOW, days)]}
    start = NOW - timedelta(days=days)
    for moment in [start, *(b.taken_at for b in good if b.taken_at > start)]:
        if before := [b for b in good if b.taken_at <= moment]:
            (at_work,) = [b.cluster for b in before if b.id == newest_of(before)]
            assert any(b.id in leads_on and b.cluster == at_work for b in before), moment


@given(lists_of_backups(), POLICIES)
@settings(deadline=None)
def test_a_longer_window_counts_no_less(backups, policy) -> None:
    decisions = plan(backups, policy, NOW)
    counts = [archive_window(decisions, NOW, days) for days in range(0, 60, 5)]
    assert all(short <= long for short, long in pairwise(counts))
    assert archive_window([], NOW, 7) == 1


def test_a_chain_of_thousands_is_no_trouble() -> None:
    ids = [f"b{number:05}" for number in range(5000)]
    chain = [
        Backup(id_, NOW - timedelta(minutes=5000 - number), ids[number - 1] if number else None)
        for number, id_ in enumerate(ids)
    ]
    assert len(kept(plan(chain, Policy(1, 0, 0), NOW))) == 5000
    damaged = [Backup(ids[0], chain[0].taken_at, good=False), *chain[1:]]
    decisions = plan([*damaged, Backup("whole", NOW)], Policy(1, 0, 0), NOW)
    assert drops(decisions) == ids[::-1]


@pytest.mark.parametrize(
    ("backups", "says"),
    [
        ([Backup("a", NOW), Backup("a", NOW - timedelta(days=1))], "two backups have one id"),
        ([Backup("a", NOW, "a")], "backup a needs itself"),
        ([Backup("a", NOW, "b"), Backup("b", NOW, "c"), Backup("c", NOW, "a")], "needs itself"),
    ],
)
def test_a_list_that_cannot_be_right_is_refused(backups, says) -> None:
    with pytest.raises(ValueError, match=says):
        plan(backups, Policy(), NOW)
    with pytest.raises(ValueError, match=says):
        drops([Decision(b, keep=False, reasons=()) for b in backups])


def test_a_time_without_zone_and_a_number_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="backup a has no zone"):
        Backup("a", NOW.replace(tzinfo=None))
    for policy in ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, 0, -1)):
        with pytest.raises(ValueError, match="below 0"):
            Policy(*policy)
