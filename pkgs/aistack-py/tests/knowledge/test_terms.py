from random import Random

from hypothesis import example, given, strategies as st

from aistack.knowledge import bm25
from aistack.knowledge.fuse import RRF_K, WINDOWS, fuse
from aistack.knowledge.terms import present, terms, vocabulary


def test_code_identifiers_are_found_whole_and_by_part() -> None:
    found = terms("set services.nginx.virtualHosts and wal_level, parseHTTPRequest")
    assert {"services.nginx.virtualhosts", "nginx", "nginx.virtualhosts", "virtual"} <= set(found)
    assert {"wal_level", "wal", "level"} <= set(found)
    assert {"parsehttprequest", "pars", "http", "request"} <= set(found)


def test_words_meet_their_other_forms_but_stop_words_do_not_count() -> None:
    assert set(terms("the limits")) == set(terms("limiting"))


def test_stop_words_alone_are_still_a_question() -> None:
    assert terms("to be or not to be")


@given(st.text(max_size=500))
def test_any_text_has_terms_of_bounded_length(text: str) -> None:
    assert all(len(term) <= 80 for term in terms(text) if not term.isalpha())


@given(st.text(max_size=300), st.floats(1, 1000))
def test_weights_are_positive_and_ids_ascend(text: str, avgdl: float) -> None:
    vector = bm25.passage_vector(terms(text), avgdl=avgdl)
    assert vector.indices == sorted(set(vector.indices))
    assert all(value > 0 for value in vector.values)


@given(st.text(max_size=200), st.text(max_size=200))
def test_coverage_is_a_share(question: str, passage: str) -> None:
    assert 0 <= bm25.coverage(terms(question), terms(passage)) <= 1


_scored = st.dictionaries(st.integers(0, 400).map(str), st.integers(0, 40), max_size=300)


def ranked(scores: dict[str, int]) -> tuple[list[str], list[int]]:
    ids = sorted(scores, key=lambda item: (-scores[item], item))
    return ids, [scores[item] for item in ids]


@given(_scored, _scored, st.randoms())
def test_fused_order_does_not_change_when_the_lists_get_longer(
    a: dict[str, int], b: dict[str, int], chance: Random
) -> None:
    """However many equals there are, and whichever of them the engine happens to give first."""
    short = []
    for scores in (a, b):
        given = sorted(scores, key=lambda item: (-scores[item], chance.random()))
        short.append(ranked({item: scores[item] for item in given[: WINDOWS[0] + 1]}))
    first = fuse(short, WINDOWS[0])
    assert fuse([ranked(a), ranked(b)])[: len(first)] == first


def test_fusion_is_the_sum_of_reciprocal_ranks() -> None:
    assert RRF_K == 60
    assert fuse([(["x", "y"], [2, 1]), (["y", "z"], [2, 1])]) == ["y", "x", "z"]


@given(st.text())
def test_the_vocabulary_is_what_is_counted(text: str) -> None:
    assert vocabulary(text) == set(terms(text))


_ENDINGS = (
    "s es ies ied ing edly ly y ily ility ively ization ational iveness e ed eed al li er".split()
)
_words = st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from(["h", "sk", "d", "hop", "Poss", "relat", "git.core", "max_", "HTTPServ", "İ"]),
    st.text("abeilsty", max_size=4),
    st.sampled_from(_ENDINGS),
)
_texts = st.lists(_words | st.sampled_from(["to", "be", "a.b.c", "c++"]), max_size=12).map(" ".join)


@given(_texts, _texts, st.sampled_from([" ", "\n", "\u2003"]))
@example("die", "dying", " ")
@example("to be", "to be", " ")
@example("to", "to go", " ")
@example("sky happiness", "skies happy", "\n")
@example("ΟΔΟΣ", "ΟΔΟΣ.a", " ")
def test_a_few_terms_are_covered_as_by_all_words(question: str, text: str, space: str) -> None:
    asked, text = terms(question), text.replace(" ", space)
    known = bm25.coverage(asked, vocabulary(text))
    assert bm25.coverage(asked, present(asked, text)) == known
