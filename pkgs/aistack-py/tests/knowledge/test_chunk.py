import time
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from aistack.knowledge.chunk import MAX_HEADING, Kind, Piece, split

WORDS = st.sampled_from(
    ["# A\n", "## B\n", "### C ##\n", "#hash", "\n", "\n\n", " ", "\t", "word ", "End. ", "    x\n",
     "```\n", "```py\n", "~~~\n", "`" * 9, "x" * 40, "\u00a0", "\u2028", "é", "。", "\r\n"]
)  # fmt: skip
TEXTS = st.one_of(st.lists(WORDS, max_size=80).map("".join), st.text(max_size=300))


@given(
    text=TEXTS,
    kind=st.sampled_from(["prose", "code"]),
    size=st.integers(1, 120),
    overlap=st.integers(0, 150),
)
@settings(max_examples=400, deadline=None)
def test_pieces_cover_the_text_in_order(text: str, kind: Kind, size: int, overlap: int) -> None:
    pieces = split(text, kind=kind, size=size, overlap=overlap)
    covered = bytearray(len(text))
    for ordinal, piece in enumerate(pieces):
        assert piece.ordinal == ordinal
        assert text[piece.start : piece.end] == piece.text
        assert piece.text.strip()
        assert len(piece.text) <= size
        assert len(piece.heading) <= MAX_HEADING
        covered[piece.start : piece.end] = b"\1" * len(piece.text)
    assert all(seen or char.isspace() for seen, char in zip(covered, text, strict=True))
    for one, two in pairwise(pieces):
        assert one.start < two.start
        assert one.end < two.end
        assert two.start >= one.end - overlap


@given(text=TEXTS, size=st.integers(1, 120))
def test_without_overlap_pieces_are_disjoint(text: str, size: int) -> None:
    pieces = split(text, kind="prose", size=size, overlap=0)
    assert all(a.end <= b.start for a, b in pairwise(pieces))


def prose(text: str, size: int = 100, overlap: int = 0) -> list[Piece]:
    return split(text, kind="prose", size=size, overlap=overlap)


def test_blank_text_has_no_pieces() -> None:
    assert prose("") == []
    assert prose(" \n\n\t") == []


def test_headings_part_and_name_the_pieces() -> None:
    text = f"# Top\n\n{'intro ' * 12}\n\n## One\n\n{'first ' * 12}\n\n## Two\n\n{'second ' * 12}\n"
    assert [piece.heading for piece in prose(text)] == ["Top", "Top > One", "Top > Two"]


def test_small_sections_are_merged_under_the_first_heading() -> None:
    pieces = prose("# Top\n\n## One\n\na\n\n## Two\n\nb\n", 100)
    assert [(piece.heading, "b" in piece.text) for piece in pieces] == [("Top", True)]


def test_sections_of_other_parents_are_not_merged() -> None:
    assert len(prose("# A\n\nshort\n\n# B\n\nshort\n")) == 2


def test_bare_heading_leads_the_section_below() -> None:
    pieces = prose("# Top\n\n## One\n\n" + "word " * 60)
    assert pieces[0].text.startswith("# Top\n\n## One\n\nword")
    assert {piece.heading for piece in pieces} == {"Top > One"}


def test_hash_lines_in_fences_are_no_headings() -> None:
    assert [p.heading for p in prose("# A\n\n```sh\n# not a heading\n```\n")] == ["A"]


def test_fence_is_kept_whole_where_it_fits() -> None:
    fence = "```\n" + "code\n\n" * 10 + "```"
    text = f"{'word ' * 15}\n\n{fence}\n\n{'word ' * 15}"
    assert any(fence in piece.text for piece in prose(text, overlap=30))


def test_cuts_prefer_paragraphs_then_lines_then_sentences_then_words() -> None:
    assert [p.text for p in prose(f"{'a' * 60}\n\n{'b' * 60}")] == ["a" * 60, "b" * 60]
    assert [p.text for p in prose(f"{'a' * 60}\n{'b' * 60}")] == ["a" * 60, "b" * 60]
    assert prose(f"{'a ' * 30}end. {'b ' * 30}")[0].text.endswith("end.")
    assert prose("word " * 40)[0].text.endswith("word")
    assert [len(p.text) for p in prose("x" * 250)] == [100, 100, 50]


def test_overlap_begins_at_a_word_and_stays_in_its_section() -> None:
    pieces = prose("# A\n\n" + "alpha beta " * 30 + "\n\n# B\n\n" + "gamma " * 5, overlap=20)
    assert all(piece.text.split()[0] in {"#", "alpha", "beta"} for piece in pieces[:-1])
    assert pieces[1].start < pieces[0].end
    assert pieces[-1].text.startswith("# B")


def test_code_is_cut_between_definitions() -> None:
    body = "def f():\n    a = 1\n\n    return a\n"
    pieces = split("\n".join([body] * 6), kind="code", size=90, overlap=0)
    assert all(piece.text.startswith("def f()") for piece in pieces)
    assert all(piece.heading == "" for piece in pieces)


@pytest.mark.slow
@pytest.mark.repeats
def test_time_is_linear_in_hostile_texts() -> None:
    hostile = ["\n" * 10**6, "# x\n" * 10**5, "```\n" * 10**5, "a " * 10**6, "x" * 10**6,
               " " * 10**6 + "x", "a." * 10**6, "# " + "h" * 10**6, "`" * 10**6,
               "#" * 10**6, "\n \t" * 10**5 + "x"]  # fmt: skip
    begin = time.perf_counter()
    for text in hostile:
        split(text, kind="prose", size=1500, overlap=500)
        split(text, kind="code", size=1500, overlap=500)
    assert time.perf_counter() - begin < 30
