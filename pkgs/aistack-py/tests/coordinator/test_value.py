import pytest
from hypothesis import given, strategies as st
from msgspec import structs

from aistack.coordinator import tokens, value
from aistack.coordinator.value import Counters, Parts
from aistack.settings.schema import Weights

unit = st.floats(0, 1)
parts = st.builds(Parts, unit, unit, unit, unit, unit)
weight = st.floats(0, 1000)
weights = st.builds(
    Weights, outcome=weight, feedback=weight, reusability=weight, complexity=weight, novelty=weight
).filter(lambda w: sum(structs.astuple(w)) > 1e-3)
count = st.integers(0, 1000)
counters = st.builds(
    Counters,
    successes=count,
    partials=count,
    failures=count,
    feedback_sum=st.floats(-1000, 1000),
    feedback_count=count,
    uses=count,
)


@given(parts, weights)
def test_it_is_in_the_unit_interval_and_deterministic(own: Parts, w: Weights) -> None:
    assert 0 <= value.score(own, w) <= 1
    assert value.score(own, w) == value.score(structs.replace(own), w)


@given(parts, weights, st.sampled_from(Parts.__struct_fields__), unit)
def test_it_never_falls_when_a_part_rises(own: Parts, w: Weights, name: str, more: float) -> None:
    higher = structs.replace(own, **{name: max(getattr(own, name), more)})
    assert value.score(higher, w) >= value.score(own, w)


def test_it_is_the_documented_sum() -> None:
    assert value.score(Parts(1, 0.5, 0.5, 0.2, 1), Weights()) == pytest.approx(0.72)
    assert value.score(Parts(1, 1, 1, 1, 1), Weights()) == 1
    assert value.score(Parts(0, 0, 0, 0, 0), Weights()) == 0
    doubled = Weights(outcome=0.8, feedback=0.4, reusability=0.4, complexity=0.2, novelty=0.2)
    own = Parts(0.3, 0.1, 0.9, 0.4, 0.7)
    assert value.score(own, doubled) == pytest.approx(value.score(own, Weights()))


@given(counters, unit, unit)
def test_parts_are_in_the_unit_interval(known: Counters, complexity: float, new: float) -> None:
    found = value.parts_of(known, complexity=complexity, novelty=new)
    assert all(0 <= part <= 1 for part in structs.astuple(found))


@given(counters)
def test_what_goes_well_counts_for_it_and_what_fails_against_it(known: Counters) -> None:
    success = structs.replace(known, successes=known.successes + 1)
    failure = structs.replace(known, failures=known.failures + 1)
    assert value.outcome_part(failure) <= value.outcome_part(known) <= value.outcome_part(success)
    assert value.reusability_part(success) >= value.reusability_part(known)
    used = structs.replace(known, uses=known.uses + 1)
    assert value.reusability_part(used) > value.reusability_part(known)


@given(st.text(), st.integers(0, 10_000))
def test_complexity_is_in_the_unit_interval(answer: str, terms: int) -> None:
    assert 0 <= value.complexity_part(answer, terms) <= 1


def test_a_procedure_is_more_complex_than_a_word() -> None:
    steps = "1. do\n2. this\n\n```sh\n$ make\n$ make install\n```\n- then that\n"
    assert value.complexity_part("yes", 1) < 0.01
    assert value.complexity_part(steps, 8) > 0.3


@given(st.text(), st.text())
def test_an_estimate_of_the_whole_is_at_most_the_sum(one: str, other: str) -> None:
    assert tokens.estimate(one + other) <= tokens.estimate(one) + tokens.estimate(other)


@given(st.text(), st.integers(0, 100))
def test_a_cut_text_is_within_its_bound(text: str, most: int) -> None:
    cut = tokens.cut(text, most, " [cut]")
    if cut is None:
        assert most < tokens.estimate(" [cut]")
    else:
        assert tokens.estimate(cut) <= most
        assert text.startswith(cut.removesuffix(" [cut]"))
